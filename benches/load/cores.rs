//! Which core does what: the first one works, the last one asks.

use core_affinity::CoreId;
use tokio::runtime::Runtime;

/// The first core that this process may use: for everything that is measured.
pub(crate) fn working() -> CoreId {
    both().0
}

/// The last one: for the generator.
pub(crate) fn asking() -> CoreId {
    both().1
}

fn both() -> (CoreId, CoreId) {
    let cores = core_affinity::get_core_ids().expect("cores that can be chosen");
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    assert!(first != last, "generator and subject need a core each");
    (first, last)
}

/// One thread that stays on its core.
pub(crate) fn pinned(core: CoreId) -> Runtime {
    let stay = move || assert!(core_affinity::set_for_current(core), "a thread cannot be bound to its core");
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).on_thread_start(stay).enable_all().build().unwrap()
}

/// Does something on a thread that is bound to `core`, for what inherits that: programs and their threads.
pub(crate) fn on<T: Send>(core: CoreId, act: impl FnOnce() -> T + Send) -> T {
    let bound = || {
        assert!(core_affinity::set_for_current(core), "a thread cannot be bound to its core");
        act()
    };
    std::thread::scope(|scope| scope.spawn(bound).join().unwrap())
}

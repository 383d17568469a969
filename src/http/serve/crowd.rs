//! Answers that are there at the same time are written one after the other.
//!
//! To read a request, to answer it and to write the answer are three things, and each needs about as much code and data as a core
//! has cache for. Where many have asked at once, doing one of them for everybody before the next begins takes a third less time than doing
//! all three for one request after the other. So an answer steps back once before it is written, behind whatever else can go on. Where
//! there is no crowd that would be nothing but a detour; so it is watched whether there is one.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use axum::{body::Body, http::Response};
use tokio::task::yield_now;

use crate::{http::routes::Answer, metrics::Timer};

/// How many requests must come, on average, while an answer steps back, for the next ones to step back as well.
const ENOUGH: u32 = 2;
/// Where there was no crowd lately, every so many answers one steps back to see whether there is one now.
const PROBE: u32 = 16;
/// How long it may take, for each request that comes meanwhile. What takes longer is one large piece of work for each request, as a
/// signature with RSA is: there is nothing to be gained between those.
const QUICK: Duration = Duration::from_micros(300);
/// How many answers the average looks back at.
const MEMORY: u32 = 8;

/// How many ask at the same time. A guess: whoever updates it at once with others may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Requests so far.
    came: AtomicU32,
    /// How many came while an answer stepped back, lately: the average, times [`MEMORY`].
    lately: AtomicU32,
}

impl Crowd {
    /// An answer, when others who asked at the same time have theirs as well.
    pub(super) async fn answer(&self, answer: Answer) -> Response<Body> {
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        let answer = answer.await;
        if self.is_there() || number.is_multiple_of(PROBE) {
            let (before, timer) = (self.came.load(Ordering::Relaxed), Timer::start());
            yield_now().await;
            self.learn(self.came.load(Ordering::Relaxed).wrapping_sub(before), timer.elapsed());
        }
        answer
    }

    fn is_there(&self) -> bool {
        self.lately.load(Ordering::Relaxed) >= ENOUGH * MEMORY
    }

    fn learn(&self, came: u32, took: Duration) {
        let came = if took <= QUICK.saturating_mul(came) { came } else { 0 };
        let lately = self.lately.load(Ordering::Relaxed);
        self.lately.store((lately - lately / MEMORY).saturating_add(came), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::ready, pin::Pin};

    use futures_util::{FutureExt, future::join_all};

    use super::*;

    fn ask(crowd: &Crowd) -> Pin<Box<dyn Future<Output = Response<Body>> + '_>> {
        Box::pin(crowd.answer(Box::pin(ready(Response::new(Body::empty())))))
    }

    /// How many of so many answers, one after the other, are there without stepping back.
    fn at_once(crowd: &Crowd, requests: usize) -> usize {
        (0..requests).filter(|_| ask(crowd).now_or_never().is_some()).count()
    }

    /// So many requests that come at the same time.
    fn together(crowd: &Crowd, requests: usize) {
        let asking = join_all((0..requests).map(|_| ask(crowd)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(asking).len(), requests);
    }

    #[test]
    fn without_a_crowd_only_a_probe_steps_back() {
        assert_eq!(at_once(&Crowd::default(), 160), 150);
    }

    #[test]
    fn in_a_crowd_every_answer_steps_back() {
        let crowd = Crowd::default();
        together(&crowd, 64);
        assert_eq!(at_once(&crowd, 8), 0);
    }

    #[test]
    fn where_each_request_is_much_work_answers_do_not_step_back() {
        let crowd = Crowd::default();
        (0..64).for_each(|_| crowd.learn(31, 31 * QUICK + Duration::from_micros(1)));
        assert!(!crowd.is_there());
        (0..64).for_each(|_| crowd.learn(31, 31 * QUICK));
        assert!(crowd.is_there());
    }

    #[test]
    fn when_the_crowd_has_gone_answers_no_longer_step_back() {
        let crowd = Crowd::default();
        together(&crowd, 64);
        (0..64).for_each(|_| together(&crowd, 1));
        assert_eq!(at_once(&crowd, 160), 150);
    }
}

//! What the system knows about this process (Linux; elsewhere nothing is told), under the names that every Prometheus client uses.

use std::fs;

use crate::{domain::time::Timestamp, metrics::Metrics};

/// Ticks of the processor time in `/proc`: 100 a second on every Linux, whatever the kernel's own clock is.
const TICKS: f64 = 100.0;

pub(super) fn measure(metrics: &mut Metrics, started: Timestamp) {
    let version = env!("CARGO_PKG_VERSION");
    metrics.readings("gateward_build_info", "The version that runs", move || vec![(vec![("version", version)], 1.0)]);
    metrics.readings("process_start_time_seconds", "When the process started, in Unix seconds", move || {
        vec![(vec![], started.unix() as f64)]
    });
    let mut figure = |name, help, read: fn() -> Option<f64>| {
        metrics.readings(name, help, move || read().map(|value| (vec![], value)).into_iter().collect());
    };
    figure("process_resident_memory_bytes", "Memory that the process has", resident);
    figure("process_open_fds", "File descriptors that are open", open_files);
    figure("process_max_fds", "File descriptors that may be open", most_files);
    metrics.totals("process_cpu_seconds", "Processor time that the process has used", || {
        processor_time().map(|value| (vec![], value)).into_iter().collect()
    });
}

fn resident() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is the look itself.
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

fn most_files() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn processor_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may hold anything; user and system time are fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let [user, system]: [f64; 2] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
    Some((user + system) / TICKS)
}

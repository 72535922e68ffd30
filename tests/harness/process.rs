//! What another process of ours uses, as `/proc` says it, and the limit of what it may open.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many descriptors it has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").count()
}

/// The CPU time of all its threads.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // The name, which may hold anything, ends with the last parenthesis (proc_pid_stat(5)).
    let (_, numbers) = stat.rsplit_once(')').expect("a name");
    // User and system time are fields 14 and 15, and the state behind the name is field 3.
    let times = numbers.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.map(|word| word.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// KiB of its memory that are in RAM.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}

/// Lets it have so many descriptors from now on, however many it has.
pub(crate) fn limit_descriptors(pid: u32, soft: usize) {
    let set = Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--nofile={soft}:"))
        .status()
        .expect("prlimit runs");
    assert!(set.success());
}

/// Leaves it so many descriptors that it can still open. The limit is one on their numbers, and those
/// that it has need not be the lowest.
pub(crate) fn leave_descriptors(pid: u32, free: usize) {
    let taken = numbers(pid);
    let most = (0..).filter(|number| !taken.contains(number)).nth(free).expect("there is no end");
    limit_descriptors(pid, most);
}

fn numbers(pid: u32) -> BTreeSet<usize> {
    let number =
        |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").filter_map(number).collect()
}

/// Lets this test have as many as the kernel allows it, and `least` at that.
pub(crate) fn raise_own_descriptors(least: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("the soft limit may be raised");
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    assert!(allowed >= least as u64, "{allowed} descriptors are too few for this size");
}

/// USER_HZ, which is 100 wherever Linux runs.
const TICKS_PER_SECOND: u64 = 100;

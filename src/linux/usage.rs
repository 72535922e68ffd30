//! What this process uses of the machine.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What this process uses, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads, those that have ended included.
    pub cpu: Duration,
    /// Octets of memory that are in RAM.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// How many there may be; `None` where there is no limit.
    pub descriptors_max: Option<u64>,
}

impl Usage {
    /// What this process uses now.
    ///
    /// # Errors
    /// When `/proc` cannot be read or says something else than it should.
    pub fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Ok(Self {
            cpu: Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)),
            resident_bytes: number(&status, "VmRSS:")? * 1024,
            threads: number(&status, "Threads:")?,
            descriptors: descriptors()?,
            descriptors_max: getrlimit(Resource::Nofile).current,
        })
    }
}

/// The number behind a name of `/proc/self/status`; memory is there in KiB.
fn number(status: &str, name: &str) -> io::Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/self/status has no number for {name}")))
}

/// Since Linux 6.2 the directory's size is their number; before, it is 0 and they are counted.
fn descriptors() -> io::Result<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    match fs::metadata(DIRECTORY)?.len() {
        // The directory that is being read is one of them.
        0 => Ok(fs::read_dir(DIRECTORY)?.count().saturating_sub(1) as u64),
        known => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something_and_never_less_time() {
        let before = Usage::now().unwrap();
        assert!(before.resident_bytes > 1 << 20, "{before:?}");
        assert!(before.threads >= 1 && before.descriptors >= 3, "{before:?}");
        let mut work = 0u64;
        while Usage::now().unwrap().cpu == before.cpu {
            work = std::hint::black_box(work + 1);
        }
        assert!(Usage::now().unwrap().cpu > before.cpu);
    }

    #[test]
    fn a_status_that_lacks_a_number_is_an_error_that_names_it() {
        assert_eq!(number("Name:\tx\nThreads:\t7\n", "Threads:").unwrap(), 7);
        let error = number("Threads:\tmany\n", "Threads:").unwrap_err();
        assert!(error.to_string().contains("Threads:"), "{error}");
    }
}

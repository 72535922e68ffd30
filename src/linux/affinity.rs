//! Which cores there are for us, and keeping a thread on one.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores this thread may run on, ascending; never empty. Threads inherit it, so ask before any is
/// pinned.
///
/// # Errors
/// Whatever sched_getaffinity(2) says: more cores than a set of 1024 can hold.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// How many threads can run at once: the allowed cores, or what the CPU quota of our cgroup (version
/// 1 or 2, and of those above it) amounts to, rounded down, if that is less. At least 1.
#[must_use]
pub fn allowed_parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Keeps the calling thread, and threads it starts later, on `core`.
///
/// # Errors
/// `InvalidInput` for a core that is not allowed or does not exist.
pub fn pin_this_thread(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_each_allowed_core() {
        let cores = allowed_cores().unwrap();
        assert!((1..=cores.len()).contains(&allowed_parallelism()));
        // In a thread of its own: the others keep their cores.
        std::thread::spawn(move || {
            for core in cores {
                pin_this_thread(core).unwrap();
                assert_eq!(allowed_cores().unwrap(), [core]);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        let absent = pin_this_thread(CpuSet::MAX_CPU - 1);
        assert_eq!(absent.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(pin_this_thread(usize::MAX).is_err());
    }
}

//! Which system calls each thread can still make, by a filter for its duty (seccomp(2)).
//!
//! Primer. A thread that puts a filter on itself passes it on to the threads that it starts, and can
//! never take it off. What is not on the list fails with ENOSYS, as on a kernel that has no such call: a
//! C library that tries a newer call first goes back to the older one by itself, which EPERM would keep
//! it from. The kernel remembers which calls are allowed whatever their arguments (Linux 5.11), so those
//! cost a look into a bitmap; the few whose arguments count cost a walk through the filter.
//!
//! A call that fails so is counted nowhere: the kernel tells nobody but the thread, unless it is asked to
//! log it, which would take a flag of seccomp(2) that no safe function sets. One that kills is in the
//! kernel's log, with its number.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use lists::{Call, FILES, MEMORY, MODULES, PIPES, SOCKETS, THREADS, WAITING, call};

mod lists;

/// What a thread is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Moves octets: IP sockets, pipes, and what it waits by. Opens nothing to write.
    Worker,
    /// Keeps the records: files, and no sockets.
    Writer,
    /// Answers the API: IP and Unix sockets, files, threads.
    Api,
    /// Checks passwords: memory, and nothing else.
    Hash,
    /// Asks the host's PAM about logins: what its modules do, but for starting programs.
    Pam,
    /// Asks the system for addresses: IP, Unix and netlink sockets, files to read, libraries.
    Names,
    /// Looks after all others: files, IP, Unix and netlink sockets, threads.
    Main,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Worker, Self::Writer, Self::Api, Self::Hash, Self::Pam, Self::Names, Self::Main];

    /// Its name, in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Writer => "writer",
            Self::Api => "api",
            Self::Hash => "hash",
            Self::Pam => "pam",
            Self::Names => "names",
            Self::Main => "main",
        }
    }

    /// The calls on its list, as the kernel names them; some of them with certain arguments only.
    #[must_use]
    pub fn calls(self) -> BTreeSet<&'static str> {
        let whatever = parts(self).iter().flat_map(|part| part.iter().copied());
        let all = whatever.chain(conditions(self).into_iter().map(|(call, ..)| call));
        all.map(|call| call.name.trim_start_matches("SYS_")).collect()
    }
}

/// What becomes of a thread that makes another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The call fails with ENOSYS.
    Fails,
    /// The process ends at once, by SIGSYS.
    Kills,
}

/// A filter for each duty.
#[derive(Clone, Debug)]
pub struct Filters(Vec<(Duty, BpfProgram)>);

impl Filters {
    /// Makes them.
    ///
    /// # Errors
    /// For a processor that the filters are not made for.
    pub fn new(refusal: Refusal) -> io::Result<Self> {
        let make = |duty: &Duty| Ok((*duty, program(*duty, refusal)?));
        Duty::ALL.iter().map(make).collect::<io::Result<_>>().map(Self)
    }

    /// Puts the filter of `duty` on this thread, for good. The thread must be unable to gain
    /// privileges, or be root.
    ///
    /// # Errors
    /// When the kernel has no filters.
    pub fn put_on(&self, duty: Duty) -> io::Result<()> {
        let found = self.0.iter().find(|(of, _)| *of == duty);
        // Invariant: `new` made one for each duty.
        let (_, program) = found.ok_or_else(|| io::Error::other("no filter of this duty"))?;
        apply_filter(program).map_err(io::Error::other)
    }
}

fn program(duty: Duty, refusal: Refusal) -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for part in parts(duty) {
        for call in *part {
            rules.insert(call.number, Vec::new());
        }
    }
    for (call, argument, mask, value) in conditions(duty) {
        if mask == 0 {
            rules.insert(call.number, Vec::new());
            continue;
        }
        let part = SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask),
            value,
        );
        let rule = part.and_then(|part| SeccompRule::new(vec![part])).map_err(io::Error::other)?;
        rules.entry(call.number).or_default().push(rule);
    }
    let refused = match refusal {
        Refusal::Fails => SeccompAction::Errno(libc::ENOSYS.cast_unsigned()),
        Refusal::Kills => SeccompAction::KillProcess,
    };
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    SeccompFilter::new(rules, refused, SeccompAction::Allow, processor)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

/// The calls that a duty may make whatever their arguments.
const fn parts(duty: Duty) -> &'static [&'static [Call]] {
    match duty {
        Duty::Worker => &[MEMORY, WAITING, SOCKETS, PIPES],
        Duty::Writer => &[MEMORY, WAITING, FILES],
        Duty::Api => &[MEMORY, WAITING, SOCKETS, FILES, THREADS],
        Duty::Hash => &[MEMORY, WAITING, THREADS],
        Duty::Pam => &[MEMORY, WAITING, SOCKETS, FILES, THREADS, MODULES],
        Duty::Names => &[MEMORY, WAITING, SOCKETS, FILES, THREADS],
        Duty::Main => &[MEMORY, WAITING, SOCKETS, FILES, THREADS],
    }
}

/// Calls of which an argument counts: which one, which bits of it, and what they are to be; no bits is
/// any. A call that is there several times may be any of them.
fn conditions(duty: Duty) -> Vec<(Call, u8, u64, u64)> {
    let all = u64::from(u32::MAX);
    let bits = |number: libc::c_int| u64::from(number.cast_unsigned());
    // The names that a thread gives itself, and glibc its memory.
    let mut conditions = vec![
        (call!(SYS_prctl), 0, all, bits(libc::PR_SET_NAME)),
        (call!(SYS_prctl), 0, all, PR_SET_VMA),
        // The size of a page, and what else the kernel told at the start.
        (call!(SYS_prctl), 0, all, PR_GET_AUXV),
    ];
    if matches!(duty, Duty::Pam | Duty::Names) {
        // Modules are libraries; what looks names up may be one that the C library loads.
        conditions.push((call!(SYS_mmap), 2, 0, 0));
        conditions.push((call!(SYS_mprotect), 2, 0, 0));
    } else {
        // Memory holds code or can be written, and no new code comes.
        conditions.push((call!(SYS_mmap), 2, bits(libc::PROT_EXEC), 0));
        conditions.push((call!(SYS_mprotect), 2, bits(libc::PROT_EXEC), 0));
    }
    let families: &[libc::c_int] = match duty {
        Duty::Worker => &[libc::AF_INET, libc::AF_INET6],
        Duty::Api => &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX],
        Duty::Pam | Duty::Names => {
            &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK]
        }
        // The service manager is told by a Unix socket.
        Duty::Main => &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK],
        Duty::Writer | Duty::Hash => &[],
    };
    conditions.extend(families.iter().map(|family| (call!(SYS_socket), 0, all, bits(*family))));
    let writing = bits(libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
    match duty {
        // The reserve descriptor, how many processors there are, and nothing that could be written to.
        Duty::Worker | Duty::Hash => conditions.push((call!(SYS_openat), 2, writing, 0)),
        Duty::Writer | Duty::Api | Duty::Pam | Duty::Names | Duty::Main => {
            conditions.push((call!(SYS_openat), 2, 0, 0));
        }
    }
    conditions
}

/// `PR_SET_VMA` (linux/prctl.h).
const PR_SET_VMA: u64 = 0x5356_4d41;
/// `PR_GET_AUXV` (linux/prctl.h).
const PR_GET_AUXV: u64 = 0x4155_5856;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    /// What a thread of this duty can do of: open to read, open to write, an IP socket, a Unix socket,
    /// a thread.
    fn can(duty: Duty) -> [bool; 5] {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::thread::spawn(move || {
            Filters::new(Refusal::Fails).unwrap().put_on(duty).unwrap();
            [
                File::open(path.path()).is_ok(),
                File::options().write(true).open(path.path()).is_ok(),
                UdpSocket::bind("127.0.0.1:0").is_ok(),
                UnixDatagram::unbound().is_ok(),
                std::thread::Builder::new().spawn(|| ()).is_ok(),
            ]
        })
        .join()
        .unwrap()
    }

    #[test]
    fn each_kind_can_do_its_own_and_no_more() {
        assert_eq!(can(Duty::Worker), [true, false, true, false, false]);
        assert_eq!(can(Duty::Writer), [true, true, false, false, false]);
        assert_eq!(can(Duty::Api), [true; 5]);
        assert_eq!(can(Duty::Hash), [true, false, false, false, true]);
        assert_eq!(can(Duty::Pam), [true; 5]);
        assert_eq!(can(Duty::Names), [true; 5]);
        assert_eq!(can(Duty::Main), [true; 5]);
    }

    #[test]
    fn nobody_can_start_a_program() {
        for duty in Duty::ALL {
            let started = std::thread::spawn(move || {
                Filters::new(Refusal::Fails).unwrap().put_on(duty).unwrap();
                std::process::Command::new("/bin/true").status().is_ok()
            });
            assert!(!started.join().unwrap(), "{duty:?}");
        }
    }
}

//! Which system calls each thread can still make, by a filter for its duty (seccomp(2)).
//!
//! Primer. A thread that puts a filter on itself passes it on to the threads that it starts, and can
//! never take it off. What is not on the list fails with ENOSYS, as on a kernel that has no such call: a
//! C library that tries a newer call first goes back to the older one by itself, which EPERM would keep
//! it from. The kernel remembers which calls are allowed whatever their arguments (Linux 5.11), so those
//! cost a look into a bitmap; the few whose arguments count cost a walk through the filter.
//!
//! The lists are what the threads were seen to do under load, and what the C library, SQLite and c-ares
//! do on other days: when the disk is full, a panic is told, or a thread starts.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

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
        DUTIES.iter().map(make).collect::<io::Result<_>>().map(Self)
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
            rules.insert(*call, Vec::new());
        }
    }
    for (call, argument, mask, value) in conditions(duty) {
        if mask == 0 {
            rules.insert(call, Vec::new());
            continue;
        }
        let part = SeccompCondition::new(
            argument,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::MaskedEq(mask),
            value,
        );
        let rule = part.and_then(|part| SeccompRule::new(vec![part])).map_err(io::Error::other)?;
        rules.entry(call).or_default().push(rule);
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
const fn parts(duty: Duty) -> &'static [&'static [c_long]] {
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
fn conditions(duty: Duty) -> Vec<(c_long, u8, u64, u64)> {
    let all = u64::from(u32::MAX);
    let bits = |number: libc::c_int| u64::from(number.cast_unsigned());
    // The names that a thread gives itself, and glibc its memory.
    let mut conditions = vec![
        (libc::SYS_prctl, 0, all, bits(libc::PR_SET_NAME)),
        (libc::SYS_prctl, 0, all, PR_SET_VMA),
        // The size of a page, and what else the kernel told at the start.
        (libc::SYS_prctl, 0, all, PR_GET_AUXV),
    ];
    if matches!(duty, Duty::Pam | Duty::Names) {
        // Modules are libraries; what looks names up may be one that the C library loads.
        conditions.push((libc::SYS_mmap, 2, 0, 0));
        conditions.push((libc::SYS_mprotect, 2, 0, 0));
    } else {
        // Memory holds code or can be written, and no new code comes.
        conditions.push((libc::SYS_mmap, 2, bits(libc::PROT_EXEC), 0));
        conditions.push((libc::SYS_mprotect, 2, bits(libc::PROT_EXEC), 0));
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
    conditions.extend(families.iter().map(|family| (libc::SYS_socket, 0, all, bits(*family))));
    let writing = bits(libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC);
    match duty {
        // The reserve descriptor, how many processors there are, and nothing that could be written to.
        Duty::Worker | Duty::Hash => conditions.push((libc::SYS_openat, 2, writing, 0)),
        Duty::Writer | Duty::Api | Duty::Pam | Duty::Names | Duty::Main => {
            conditions.push((libc::SYS_openat, 2, 0, 0));
        }
    }
    conditions
}

const DUTIES: [Duty; 7] =
    [Duty::Worker, Duty::Writer, Duty::Api, Duty::Hash, Duty::Pam, Duty::Names, Duty::Main];

/// `PR_SET_VMA` (linux/prctl.h).
const PR_SET_VMA: u64 = 0x5356_4d41;
/// `PR_GET_AUXV` (linux/prctl.h).
const PR_GET_AUXV: u64 = 0x4155_5856;

/// Memory, time, signals, what locks wait by, what is written to a log or read from a descriptor, and
/// the end of a thread.
const MEMORY: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_time,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_getcpu,
    libc::SYS_prlimit64,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_restart_syscall,
    // The handler of signals, which runs on any thread, tells the thread for them by its socket.
    libc::SYS_sendto,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Locks, polls, and descriptors of whatever kind.
const WAITING: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_eventfd2,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
];

/// Sockets that are there. Which new ones there may be is said by their family.
const SOCKETS: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_accept,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    // Octets that wait (FIONREAD), and waiting or not (FIONBIO).
    libc::SYS_ioctl,
];

/// What relays inside the kernel.
const PIPES: &[c_long] = &[libc::SYS_pipe2, libc::SYS_splice];

/// Files: what SQLite, the ledger and the token need, and the API's directory.
const FILES: &[c_long] = &[
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_msync,
    libc::SYS_flock,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_sysinfo,
    // SQLite gives new files the owner and the mode of the database where it may.
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_utimensat,
];

/// What modules of PAM do beside that: they sleep after a wrong password, and ask who they are and
/// whom they work for. What starts their helpers is not here.
const MODULES: &[c_long] = &[
    libc::SYS_pselect6,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_select,
    libc::SYS_umask,
    libc::SYS_getppid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
];

/// New threads.
const THREADS: &[c_long] =
    &[libc::SYS_clone, libc::SYS_clone3, libc::SYS_set_robust_list, libc::SYS_rseq];

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
        for duty in DUTIES {
            let started = std::thread::spawn(move || {
                Filters::new(Refusal::Fails).unwrap().put_on(duty).unwrap();
                std::process::Command::new("/bin/true").status().is_ok()
            });
            assert!(!started.join().unwrap(), "{duty:?}");
        }
    }
}

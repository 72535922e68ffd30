//! System calls that need nothing but their names, by what they are for.
//!
//! The lists are what the threads were seen to do under load, and what the C library, SQLite and c-ares
//! do on other days: when the disk is full, a panic is told, or a thread starts.

use libc::c_long;

/// A system call.
#[derive(Clone, Copy)]
pub(super) struct Call {
    /// What libc calls its number.
    pub(super) name: &'static str,
    pub(super) number: c_long,
}

macro_rules! call {
    ($name:ident) => {
        Call { name: stringify!($name), number: libc::$name }
    };
}

pub(super) use call;

/// Some of them, of which those may be left out that not every processor has.
macro_rules! calls {
    ($($(#[$there:meta])* $name:ident),* $(,)?) => {
        &[$($(#[$there])* call!($name)),*]
    };
}

/// Memory, time, signals, what locks wait by, what is written to a log or read from a descriptor, and
/// the end of a thread.
pub(super) const MEMORY: &[Call] = calls![
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_membarrier,
    SYS_getrandom,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    #[cfg(target_arch = "x86_64")]
    SYS_time,
    SYS_getpid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_getcpu,
    SYS_prlimit64,
    SYS_getrusage,
    SYS_uname,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_tgkill,
    SYS_restart_syscall,
    // The handler of signals, which runs on any thread, tells the thread for them by its socket.
    SYS_sendto,
    SYS_exit,
    SYS_exit_group,
];

/// Locks, polls, and descriptors of whatever kind.
pub(super) const WAITING: &[Call] = calls![
    SYS_futex,
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_close,
    SYS_fcntl,
    SYS_dup,
    SYS_dup3,
    SYS_eventfd2,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    #[cfg(target_arch = "x86_64")]
    SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")]
    SYS_poll,
    SYS_ppoll,
];

/// Sockets that are there. Which new ones there may be is said by their family.
pub(super) const SOCKETS: &[Call] = calls![
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept4,
    SYS_accept,
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_shutdown,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_recvmmsg,
];

/// What relays inside the kernel.
pub(super) const PIPES: &[Call] = calls![SYS_pipe2, SYS_splice];

/// Files: what SQLite, the ledger and the token need, and the API's directory.
pub(super) const FILES: &[Call] = calls![
    SYS_lseek,
    SYS_pread64,
    SYS_pwrite64,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    #[cfg(target_arch = "x86_64")]
    SYS_open,
    #[cfg(target_arch = "x86_64")]
    SYS_stat,
    #[cfg(target_arch = "x86_64")]
    SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    SYS_access,
    #[cfg(target_arch = "x86_64")]
    SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    SYS_rename,
    #[cfg(target_arch = "x86_64")]
    SYS_link,
    #[cfg(target_arch = "x86_64")]
    SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    SYS_readlink,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_linkat,
    SYS_mkdirat,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_getcwd,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_msync,
    SYS_flock,
    SYS_statfs,
    SYS_fstatfs,
    SYS_sysinfo,
    // SQLite gives new files the owner and the mode of the database where it may.
    SYS_fchmod,
    SYS_fchown,
    SYS_utimensat,
];

/// What modules of PAM do beside that: they sleep after a wrong password, and ask who they are and
/// whom they work for. What starts their helpers is not here.
pub(super) const MODULES: &[Call] = calls![
    SYS_pselect6,
    #[cfg(target_arch = "x86_64")]
    SYS_select,
    SYS_umask,
    SYS_getppid,
    SYS_getpgid,
    SYS_getsid,
    SYS_getgroups,
    SYS_getresuid,
    SYS_getresgid,
];

/// New threads, beside clone(2), whose flags count.
pub(super) const THREADS: &[Call] = calls![SYS_clone3, SYS_set_robust_list, SYS_rseq];

/// What a C library asks for first to start a thread or a process: its flags lie in memory, where no filter
/// looks, so whoever may start threads is told that the kernel has no such call, and the library goes back
/// to clone(2).
pub(super) const LATER: Call = call!(SYS_clone3);

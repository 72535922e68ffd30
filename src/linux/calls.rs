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

use lists::{Call, FILES, LATER, MEMORY, MODULES, PIPES, SOCKETS, THREADS, WAITING, call};

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

/// What there is to put on for each duty. Where there are two, the kernel heeds the stricter one.
#[derive(Clone, Debug)]
pub struct Filters(Vec<(Duty, Vec<BpfProgram>)>);

impl Filters {
    /// Makes them.
    ///
    /// # Errors
    /// For a processor that the filters are not made for.
    pub fn new(refusal: Refusal) -> io::Result<Self> {
        let make = |duty: &Duty| Ok((*duty, programs(*duty, refusal)?));
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
        let (_, programs) = found.ok_or_else(|| io::Error::other("no filter of this duty"))?;
        programs.iter().try_for_each(|program| apply_filter(program).map_err(io::Error::other))
    }
}

/// The duty's own is the last: with it on, no other can be put on.
fn programs(duty: Duty, refusal: Refusal) -> io::Result<Vec<BpfProgram>> {
    let own = program(duty, refusal)?;
    Ok(if has_threads(duty) { vec![without_later()?, own] } else { vec![own] })
}

/// Refuses one call as a kernel that has it not, also where any other kills, and nothing else.
fn without_later() -> io::Result<BpfProgram> {
    let rules = [(LATER.number, Vec::new())].into();
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    compiled(rules, SeccompAction::Allow, missing)
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
    compiled(rules, refused, SeccompAction::Allow)
}

fn compiled(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    listed: SeccompAction,
) -> io::Result<BpfProgram> {
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    SeccompFilter::new(rules, others, listed, processor)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

fn has_threads(duty: Duty) -> bool {
    parts(duty).iter().any(|part| part.iter().any(|call| call.number == LATER.number))
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
    if has_threads(duty) {
        conditions.push((call!(SYS_clone), 0, bits(NO_THREAD | libc::CLONE_THREAD), THREAD));
    }
    // Whoever has sockets.
    if !families.is_empty() {
        conditions.extend(CONTROLS.iter().map(|control| (call!(SYS_ioctl), 1, all, *control)));
    }
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

/// What a thread is, and neither a process, nor one in namespaces of its own, nor one that is traced.
const THREAD: u64 = libc::CLONE_THREAD as u64;
const NO_THREAD: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_VFORK
    | libc::CLONE_PTRACE;
/// What descriptors are asked by ioctl(2), as asm-generic/ioctls.h and linux/sockios.h number it. Nothing
/// that puts words into somebody's terminal (TIOCSTI, TIOCLINUX), nor whatever else a device may do.
const CONTROLS: [u64; 11] = [
    0x541b, // FIONREAD: octets that wait
    0x5421, // FIONBIO: waiting or not
    0x5450, // FIONCLEX, and
    0x5451, // FIOCLEX: whether programs inherit it
    0x5401, // TCGETS: whether it is a terminal at all
    0x8910, // SIOCGIFNAME, and
    0x8933, // SIOCGIFINDEX: interfaces, as addresses of a link name them
    0x8912, // SIOCGIFCONF,
    0x8913, // SIOCGIFFLAGS,
    0x8915, // SIOCGIFADDR, and
    0x891b, // SIOCGIFNETMASK: what libraries ask of them
];
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
    fn threads_are_all_that_is_started() {
        let thread = 0x003d_0f00; // as glibc asks for one
        let detached = 0x0040_0000; // and musl
        let process = 17; // SIGCHLD
        for refusal in [Refusal::Fails, Refusal::Kills] {
            for duty in Duty::ALL {
                let made = |flags: u64| decided(duty, refusal, libc::SYS_clone, [flags, 0]);
                let may = if has_threads(duty) { ALLOWED } else { refused(refusal) };
                assert_eq!([made(thread), made(thread | detached)], [may; 2], "{duty:?}");
                let vforked = u64::from((libc::CLONE_VM | libc::CLONE_VFORK).unsigned_abs());
                for flags in [process, vforked | process, 0] {
                    assert_eq!(made(flags), refused(refusal), "{duty:?} {flags:x}");
                }
                for namespace in [0x0002_0000, 0x0200_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
                    for flags in [thread | namespace, process | namespace] {
                        assert_eq!(made(flags), refused(refusal), "{duty:?} {flags:x}");
                    }
                }
                // As if the kernel had it not, so that clone(2) is asked.
                let later = decided(duty, refusal, libc::SYS_clone3, [0, 0]);
                let expected = if has_threads(duty) { MISSING } else { refused(refusal) };
                assert_eq!(later, expected, "{duty:?}");
                for call in [libc::SYS_unshare, libc::SYS_setns, libc::SYS_execve] {
                    assert_eq!(decided(duty, refusal, call, [0, 0]), refused(refusal), "{duty:?}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_typed_into_a_terminal() {
        for duty in Duty::ALL {
            let asked =
                |control| decided(duty, Refusal::Fails, libc::SYS_ioctl, [1, control]) == ALLOWED;
            let sockets = !matches!(duty, Duty::Writer | Duty::Hash);
            assert_eq!([0x5421, 0x541b].map(asked), [sockets; 2], "{duty:?}");
            // TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCSETD, SIOCSIFADDR, SIOCADDRT, BLKDISCARD.
            for control in [0x5412, 0x541c, 0x540e, 0x5423, 0x8916, 0x890b, 0x1277] {
                assert!(!asked(control), "{duty:?} {control:x}");
            }
        }
        // And the kernel says the same: on a socket it is another error.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let size = || rustix::termios::tcgetwinsize(&socket).unwrap_err();
        assert_eq!(size(), rustix::io::Errno::NOTTY);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                Filters::new(Refusal::Fails).unwrap().put_on(Duty::Api).unwrap();
                assert_eq!(size(), rustix::io::Errno::NOSYS);
                socket.set_nonblocking(true).unwrap();
            });
        });
    }

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const MISSING: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

    fn refused(refusal: Refusal) -> u32 {
        match refusal {
            Refusal::Fails => MISSING,
            Refusal::Kills => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }

    /// What the kernel would do of a call with these two first arguments: the stricter of what the
    /// programs say (seccomp(2)).
    fn decided(duty: Duty, refusal: Refusal, call: libc::c_long, arguments: [u64; 2]) -> u32 {
        let strictness = |action: &u32| (action & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
        let programs = programs(duty, refusal).unwrap();
        programs
            .iter()
            .map(|program| said(program, call, arguments))
            .min_by_key(strictness)
            .unwrap()
    }

    /// What one program says.
    fn said(program: &BpfProgram, call: libc::c_long, arguments: [u64; 2]) -> u32 {
        let processor = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
        let mut data = vec![u32::try_from(call).unwrap(), processor, 0, 0];
        for argument in arguments {
            data.extend([argument, argument >> 32].map(|half| (half & 0xffff_ffff) as u32));
        }
        let (mut at, mut value) = (0, 0);
        loop {
            let step = &program[at];
            let jump = |so: bool| usize::from(if so { step.jt } else { step.jf });
            at += 1;
            match u32::from(step.code) {
                0x20 => value = data.get(step.k as usize / 4).copied().unwrap_or(0), // ld [k]
                0x54 => value &= step.k,                                             // and k
                0x05 => at += step.k as usize,                                       // ja k
                0x15 => at += jump(value == step.k),                                 // jeq k
                0x25 => at += jump(value > step.k),                                  // jgt k
                0x35 => at += jump(value >= step.k),                                 // jge k
                0x06 => return step.k,                                               // ret k
                code => panic!("an instruction that no program here has: {code:x}"),
            }
        }
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

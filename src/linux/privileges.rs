//! Who this process is, and what it may still do: user, groups, capabilities, and what it leaves behind
//! when it crashes.
//!
//! Primer. All of this belongs to a thread, and threads that it starts inherit it, so it is done while
//! there is one. The order matters: whoever changes from root to another user loses every capability
//! (capabilities(7)), unless told to keep the permitted ones, which are then cut to what is needed;
//! the groups go before the user, who may not change them; the bounding set goes first of all, because
//! that takes CAP_SETPCAP.

use std::fmt;
use std::io;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getresuid, setgid, setgroups, setuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities, set_no_new_privs,
};

/// A user of this host, with the groups that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// What is still wanted of root after the start: capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs(CapabilitySet);

impl Account {
    /// The user of this name with all its groups, the first of which is `group` if one is named.
    /// `None` if the host knows no such user, or no such group.
    ///
    /// # Errors
    /// When the host's lists cannot be read.
    pub fn find(user: &str, group: Option<&str>) -> io::Result<Option<Self>> {
        let Some(found) = User::from_name(user)? else { return Ok(None) };
        let gid = match group {
            None => found.gid,
            Some(name) => match Group::from_name(name)? {
                Some(group) => group.gid,
                None => return Ok(None),
            },
        };
        let name = std::ffi::CString::new(user)?;
        let groups = getgrouplist(&name, gid)?;
        Ok(Some(Self { uid: found.uid, gid, groups }))
    }

    /// Whether this process is that user already.
    #[must_use]
    pub fn is_current(&self) -> bool {
        getresuid().is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [self.uid; 3])
    }

    /// Becomes this user, for good, keeping what is needed of root. Answers what it has kept.
    ///
    /// # Errors
    /// Whatever the system says; what was done until then stays. Not to be called where there are other
    /// threads.
    pub fn become_it(&self, needs: Needs) -> io::Result<Needs> {
        let needs = cut_bounding_set(needs)?;
        set_keep_capabilities(needs != Needs::NOTHING)?;
        setgroups(&self.groups)?;
        setgid(self.gid)?;
        setuid(self.uid)?;
        let kept = keep_capabilities(needs)?;
        if self.is_current() && (self.uid.is_root() || setuid(Uid::from_raw(0)).is_err()) {
            return Ok(kept);
        }
        Err(io::Error::other("there is a way back to root"))
    }
}

impl Needs {
    /// Nothing at all.
    pub const NOTHING: Self = Self(CapabilitySet::empty());
    /// Marks on packets.
    pub const MARKS: Self = Self(CapabilitySet::NET_ADMIN);
    /// Sockets bound to an interface, on kernels before 5.7.
    pub const INTERFACES: Self = Self(CapabilitySet::NET_RAW);
    /// Ports below 1024.
    pub const LOW_PORTS: Self = Self(CapabilitySet::NET_BIND_SERVICE);
    /// Reading what belongs to others.
    pub const READING: Self = Self(CapabilitySet::DAC_READ_SEARCH);
    /// Writing what belongs to others, and giving them what is made in their directories.
    pub const WRITING: Self =
        Self(CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::CHOWN)).and(Self::READING);
    /// What root's modules of PAM do: read lists of passwords whatever their mode, write down failures as
    /// somebody else, and tell the audit, without which some hosts let nobody in.
    pub const MODULES: Self = Self(
        CapabilitySet::SETUID
            .union(CapabilitySet::SETGID)
            .union(CapabilitySet::FOWNER)
            .union(CapabilitySet::AUDIT_WRITE),
    )
    .and(Self::WRITING);
    /// What sockets need.
    pub const SOCKETS: Self = Self::MARKS.and(Self::INTERFACES).and(Self::LOW_PORTS);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }

    /// Only if that is so.
    #[must_use]
    pub const fn when(self, so: bool) -> Self {
        if so { self } else { Self::NOTHING }
    }

    /// What of them is among these.
    #[must_use]
    pub const fn among(self, these: Self) -> Self {
        Self(self.0.intersection(these.0))
    }

    /// What there is for them where that is permitted. Containers give root the right to read and write
    /// everything, and not the lesser one to read everything: then the greater one stands in for it.
    const fn out_of(self, permitted: CapabilitySet) -> Self {
        let greater = CapabilitySet::DAC_OVERRIDE;
        let stands_in = Self(greater)
            .when(self.0.contains(Self::READING.0) && !permitted.contains(Self::READING.0));
        Self(self.and(stands_in).0.intersection(permitted))
    }

    /// What of them nothing of these is for.
    #[must_use]
    pub const fn without(self, these: Self) -> Self {
        let reads = these.0.contains(CapabilitySet::DAC_OVERRIDE);
        Self(self.0.difference(these.and(Self::READING.when(reads)).0))
    }
}

impl fmt::Display for Needs {
    /// The names of the capabilities.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NOTHING {
            return f.write_str("without capabilities");
        }
        let names: Vec<_> = self.0.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
        write!(f, "with the capabilities of {}", names.join(", "))
    }
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives up every capability that is not needed. Answers what is left.
///
/// # Errors
/// Whatever capset(2) says.
pub fn keep_capabilities(needs: Needs) -> io::Result<Needs> {
    // Kernels before 4.3 have no ambient set to clear.
    clear_ambient_capability_set().unwrap_or_default();
    let had = capabilities(None)?;
    let kept = needs.out_of(had.permitted);
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: kept.0, permitted: kept.0, inheritable: none };
    // Whoever has nothing to give up need not be allowed to.
    if had != sets {
        set_capabilities(None, sets)?;
    }
    Ok(kept)
}

/// Takes from the bounding set what is not needed: nothing that is executed from here on can regain it,
/// where we may see to that. Answers what of it can be kept.
///
/// # Errors
/// Whatever capget(2) says.
pub fn cut_bounding_set(needs: Needs) -> io::Result<Needs> {
    let kept = needs.out_of(capabilities(None)?.permitted);
    for capability in CapabilitySet::all().difference(kept.0).iter() {
        // The kernel may not know it. Without CAP_SETPCAP there is nothing to lose by it.
        remove_capability_from_bounding_set(capability).unwrap_or_default();
    }
    Ok(kept)
}

/// No program that is executed from here on gets rights by its file: no setuid, no capabilities.
///
/// # Errors
/// On kernels before 3.5.
pub fn gain_nothing() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

/// The memory of this process, with what secrets are in it, is no file when it crashes, and nobody but
/// root may look into it while it runs.
///
/// # Errors
/// Whatever prctl(2) and setrlimit(2) say.
pub fn leave_no_core() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // The limit does not hold where cores are handed to a program (core(5)); this does.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_with_its_groups_and_nobody_else_is() {
        let root = Account::find("root", None).unwrap().unwrap();
        assert!(root.uid.is_root() && root.groups.contains(&root.gid));
        assert_eq!(root.is_current(), is_root());
        assert_eq!(Account::find("no such user", None).unwrap(), None);
        assert_eq!(Account::find("root", Some("no such group")).unwrap(), None);
    }

    #[test]
    fn what_is_needed_is_named() {
        assert_eq!(Needs::NOTHING.to_string(), "without capabilities");
        let ports = Needs::SOCKETS.when(false).and(Needs::LOW_PORTS);
        assert_eq!(ports.to_string(), "with the capabilities of CAP_NET_BIND_SERVICE");
        assert_eq!(Needs::WRITING.and(ports).among(Needs::SOCKETS), ports);
        assert_eq!(
            Needs::WRITING.to_string(),
            "with the capabilities of CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH"
        );
    }

    #[test]
    fn where_reading_all_is_not_permitted_writing_all_stands_in_for_it() {
        let all = CapabilitySet::all();
        let (reading, writing) = (CapabilitySet::DAC_READ_SEARCH, CapabilitySet::DAC_OVERRIDE);
        assert_eq!(Needs::READING.out_of(all), Needs::READING, "no more than is needed");
        let container = all.difference(reading);
        let kept = Needs::READING.and(Needs::MARKS).out_of(container);
        assert_eq!(kept, Needs(writing).and(Needs::MARKS));
        assert_eq!(Needs::READING.without(kept), Needs::NOTHING);
        assert_eq!(Needs::MARKS.out_of(container), Needs::MARKS, "only for reading");
        let kept = Needs::WRITING.out_of(CapabilitySet::CHOWN);
        assert_eq!(kept, Needs(CapabilitySet::CHOWN));
        assert_eq!(Needs::WRITING.without(kept), Needs(reading.union(writing)));
    }

    #[test]
    fn a_thread_that_gives_up_its_capabilities_has_none() {
        // In a thread of its own: the others keep theirs.
        std::thread::spawn(|| {
            assert_eq!(keep_capabilities(Needs::NOTHING).unwrap(), Needs::NOTHING);
            assert!(capabilities(None).unwrap().effective.is_empty());
            gain_nothing().unwrap();
            assert!(rustix::thread::no_new_privs().unwrap());
        })
        .join()
        .unwrap();
    }
}

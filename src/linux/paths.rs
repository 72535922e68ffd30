//! Which files this process can still reach, by Landlock (landlock(7)).
//!
//! Primer. A thread that restricts itself can open nothing but what lies below the paths of its rules,
//! nor can the threads that it starts later. What is open stays open. A rule holds for a file or a
//! directory, not for its name: a file that is replaced by another under the same name is only reached
//! through a rule for the directory.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, make_bitflags,
};
use nix::unistd::{Uid, User};

/// What is to be reached. What is not there is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Files and directories with all below them, to read.
    pub read: Vec<PathBuf>,
    /// Directories with all below them, to read, write, make and remove.
    pub write: Vec<PathBuf>,
    /// Files that are there, to read, and to write where the system lets us.
    pub devices: Vec<PathBuf>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restricted {
    /// All of it holds.
    Fully,
    /// The kernel is older than some of it.
    Partly,
    /// The kernel has no Landlock, or it is switched off.
    Not,
}

/// Restricts this thread, and those that it starts from here on.
///
/// # Errors
/// Whatever the system says.
pub fn restrict_to(reach: &Reach) -> io::Result<Restricted> {
    let Reach { read, write, devices } = reach;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.create())
        .map_err(io::Error::other)?;
    let reading = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let file = make_bitflags!(AccessFs::{ReadFile | WriteFile});
    // No programs, and no devices.
    let writing = AccessFs::from_all(KNOWN)
        & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | IoctlDev});
    let wishes = read.iter().map(|path| (path, reading));
    let wishes = wishes.chain(write.iter().map(|path| (path, writing)));
    for (path, access) in wishes.chain(devices.iter().map(|path| (path, file))) {
        let Some(rule) = rule(path, access) else { continue };
        rules = rules.add_rule(rule).map_err(io::Error::other)?;
    }
    let status = rules.restrict_self().map_err(io::Error::other)?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Restricted::Fully,
        RulesetStatus::PartiallyEnforced => Restricted::Partly,
        RulesetStatus::NotEnforced => Restricted::Not,
    })
}

/// Whether somebody lives in a directory: it is the home of its owner, or of who we are, by the host's
/// list of users, and that user can log in and is no service below `/var`; or `$HOME`, which may be another
/// for us than in that list.
#[must_use]
pub fn is_home(directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let owner = directory.metadata().map(|found| Uid::from_raw(found.uid()));
    let users = owner.into_iter().chain([Uid::effective()]);
    let users: Vec<_> = users.filter_map(|uid| User::from_uid(uid).ok().flatten()).collect();
    let homes: Vec<_> =
        users.iter().map(|user| (&*user.dir, &*user.shell, user.uid.as_raw())).collect();
    somebody_lives_in(&directory, &homes, std::env::var_os("HOME").as_deref().map(Path::new))
}

/// The same, by what is known: homes of users with their shells and numbers, and our own by the environment.
fn somebody_lives_in(directory: &Path, homes: &[(&Path, &Path, u32)], own: Option<&Path>) -> bool {
    let is_it = |home: &Path| home.canonicalize().is_ok_and(|home| home == directory);
    let of_service = is_of_service(directory);
    let mut users = homes.iter().filter(|(home, ..)| is_it(home)).peekable();
    if users.peek().is_some() {
        // A service may have been given a shell that it never sees.
        let shut = |shell: &Path| ["nologin", "false"].iter().any(|shut| shell.ends_with(shut));
        let is_service = |uid: u32| of_service && uid < PEOPLE_FROM;
        return !users.all(|(_, shell, uid)| shut(shell) || is_service(*uid));
    }
    own.is_some_and(is_it) && !of_service
}

/// Whether it is where a service has a home to work in, and nothing else there; where the homes of all are is
/// no such place.
fn is_of_service(directory: &Path) -> bool {
    directory.starts_with("/var")
        && !["/var/home", "/var/roothome"].iter().any(|homes| directory.starts_with(homes))
}

fn rule(path: &Path, access: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let directory = path.metadata().ok()?.is_dir();
    let access = if directory { access } else { access & AccessFs::from_file(KNOWN) };
    // What cannot be opened by us now is out of our reach anyway.
    PathFd::new(path).ok().map(|opened| PathBeneath::new(opened, access))
}

/// The first number of a user who is no service (login.defs(5), UID_MIN).
const PEOPLE_FROM: u32 = 1000;
/// The version of Landlock whose rights are meant; an older kernel enforces what it knows.
const KNOWN: ABI = ABI::V5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_home_is_one_whatever_leads_there_and_a_services_is_none() {
        let there = tempfile::tempdir().unwrap();
        let there = there.path().canonicalize().unwrap();
        // As where the homes of all are below /var.
        let (real, named) = (there.join("var/home/core"), there.join("home"));
        fs::create_dir_all(&real).unwrap();
        symlink("var/home", &named).unwrap();
        let home = named.join("core");
        let (shell, shut) = (Path::new("/bin/bash"), Path::new("/usr/sbin/nologin"));
        assert!(somebody_lives_in(&real, &[(&home, shell, 1000)], None));
        assert!(somebody_lives_in(&real, &[(&home, shell, 1000)], Some(&home)));
        assert!(!somebody_lives_in(&real, &[(&home, shut, 1000)], None));
        assert!(
            !somebody_lives_in(&real, &[(&home, shut, 1000)], Some(&home)),
            "a service is told it"
        );
        assert!(
            somebody_lives_in(&real, &[(&there, shut, 1000)], Some(&home)),
            "another than its own"
        );
        assert!(!somebody_lives_in(&real, &[(&there, shell, 1000)], None));
        // Without a user, by where it is.
        let var = Path::new("/var").canonicalize().unwrap();
        assert!(!somebody_lives_in(&var, &[], Some(&var)));
    }

    #[test]
    fn a_service_with_a_shell_has_no_home_below_var_and_people_have() {
        let var = Path::new("/var").canonicalize().unwrap();
        let (home, shell) = (Path::new("/var"), Path::new("/bin/sh"));
        for own in [None, Some(home)] {
            assert!(!somebody_lives_in(&var, &[(home, shell, 999)], own), "{own:?}");
            assert!(somebody_lives_in(&var, &[(home, shell, 1000)], own), "{own:?}");
        }
        // Elsewhere it is a home, whosever.
        let there = tempfile::tempdir_in("/dev/shm").unwrap();
        let there = there.path().canonicalize().unwrap();
        assert!(somebody_lives_in(&there, &[(&there, shell, 0)], None));
        for (directory, expected) in
            [("/var/lib/rustsocks", true), ("/var/home/core", false), ("/var/roothome", false)]
        {
            assert_eq!(is_of_service(Path::new(directory)), expected, "{directory}");
        }
    }

    #[test]
    fn a_thread_reaches_what_it_asked_for_and_nothing_else() {
        let above = tempfile::tempdir().unwrap();
        let path = |name: &str| above.path().join(name);
        for name in ["read", "write", "other"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), name).unwrap();
        }
        let reach = Reach {
            read: vec![path("read"), path("missing")],
            write: vec![path("write")],
            devices: vec!["/dev/null".into()],
        };
        let (read, write, other) = (path("read"), path("write"), path("other"));
        std::thread::spawn(move || {
            match restrict_to(&reach).unwrap() {
                Restricted::Fully => {}
                // Said loudly, because then nothing is shown.
                less @ (Restricted::Partly | Restricted::Not) => {
                    return eprintln!("SKIPPED: Landlock is enforced: {less:?}");
                }
            }
            assert_eq!(fs::read(read.join("file")).unwrap(), b"read");
            assert!(fs::write(read.join("file"), "x").is_err());
            assert!(fs::read(other.join("file")).is_err());
            fs::write(write.join("new"), "x").unwrap();
            fs::rename(write.join("new"), write.join("newer")).unwrap();
            fs::remove_file(write.join("newer")).unwrap();
            fs::write("/dev/null", "x").unwrap();
            // What takes the place of a file is reached, too, because its directory is.
            assert!(fs::read_dir(&write).unwrap().count() == 1);
        })
        .join()
        .unwrap();
        assert_eq!(fs::read(path("other").join("file")).unwrap(), b"other");
    }
}

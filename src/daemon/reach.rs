//! Which files the process has to do with while it runs: what Landlock lets it reach.
//!
//! A file is reached by its directory, because whoever edits a file often puts another in its place. It may
//! be a link: then there are two directories, the one in which it is named and the one in which it lies.
//! Landlock asks for the second; the first is for the day on which a file takes the place of the link.
//!
//! A directory that is more than ours, such as somebody's home, is left out: of a file there the process
//! reaches the one that was there at its start, and no other that takes its place.

use std::path::{Path, PathBuf};

use super::inspection::{data_directory, ledger};
use crate::access_log::Place;
use crate::config::{self, AccessLogSettings, Settings};
use crate::linux::paths::{Reach, is_home};

/// What the process reaches from here on; `files` are those that a reload reads.
pub(super) fn reach(settings: &Settings, files: &[(&str, PathBuf)]) -> Reach {
    let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    read.extend(HOST_FILES.iter().map(Path::new).flat_map(around));
    if settings.auth.pam.is_some() {
        read.extend(MODULES.iter().map(PathBuf::from));
    }
    let mut write = vec![std::env::temp_dir(), PathBuf::from("/var/tmp")];
    write.extend(data_directory(settings));
    // By the one above: its own is made anew where somebody has removed it.
    let ledger = ledger(settings);
    write.extend(ledger.as_deref().into_iter().flat_map(around));
    write.extend(made_in(settings).into_iter().flat_map(|(_, directories)| directories));
    if let Some(runtime) = std::env::var_os("RUNTIME_DIRECTORY") {
        write.extend(std::env::split_paths(&runtime));
    }
    let given = read.iter().chain(&write).filter_map(|path| path.canonicalize().ok());
    let given: Vec<PathBuf> = given.collect();
    for (key, file) in files {
        for path in both(file) {
            match path.parent() {
                Some(above) if is_more_than_ours(above) && !is_among(above, &given) => {
                    tracing::info!(
                        "sandbox: {key}: of {}, which is not for this alone, only {} can be read; a \
                         file that takes its place is read after a restart only, so give it a directory",
                        above.display(),
                        path.display()
                    );
                    read.push(path);
                }
                Some(_) | None => read.push(around_one(path)),
            }
        }
    }
    let devices = ["/dev/null", "/dev/urandom"].map(PathBuf::from).to_vec();
    Reach { read, write, devices }
}

/// The directories around what has this path; what lies directly below `/` goes alone.
fn around(path: &Path) -> Vec<PathBuf> {
    both(path).into_iter().map(around_one).collect()
}

fn around_one(path: PathBuf) -> PathBuf {
    match path.parent() {
        Some(above) if above.parent().is_some() => above.to_path_buf(),
        Some(_) | None => path,
    }
}

/// The directories in which each of the files is made that the process writes.
fn made_in(settings: &Settings) -> Vec<(&'static str, Vec<PathBuf>)> {
    let database = settings.sessions.database_url.strip_prefix("sqlite://");
    let database = database.filter(|_| data_directory(settings).is_some()).map(Path::new);
    let log = match &settings.logging.access_log {
        Some(AccessLogSettings { place: Place::File(log), .. }) => Some(log.as_path()),
        Some(_) | None => None,
    };
    let token = Some(settings.server.api_token_file.as_path());
    let files = [("database", database), ("token", token), ("access log", log)];
    let directories = |file: &Path| both(file).into_iter().flat_map(above).collect();
    let files = files.into_iter().filter_map(|(what, file)| Some((what, directories(file?))));
    files.collect()
}

/// A line for each directory of everybody's in which files of ours are made, and which is to be written to
/// therefore; none where nothing keeps the process from others anyway.
pub(super) fn shared(settings: &Settings) -> Vec<String> {
    if settings.server.sandbox == config::Sandbox::Off {
        return Vec::new();
    }
    let mut made: Vec<_> = made_in(settings)
        .into_iter()
        .map(|(what, directories)| (what, "give it a directory", directories))
        .collect();
    let configured =
        ledger(settings).filter(|_| !settings.sessions.ledger_path.as_os_str().is_empty());
    // It is a directory already.
    made.extend(configured.map(|it| ("ledger's directory", "put it one deeper", around(&it))));
    let line = |(what, remedy, directories): (&str, &str, Vec<PathBuf>)| {
        let directory = directories.iter().find(|directory| is_more_than_ours(directory))?;
        Some(format!(
            "sandbox: any file below {} can be written to as far as the user may: the {what} lies directly \
             there, where more has to be made; {remedy}",
            directory.display()
        ))
    };
    made.into_iter().filter_map(line).collect()
}

/// Whether a directory is no place for our files alone, by whatever name.
fn is_more_than_ours(directory: &Path) -> bool {
    let Ok(real) = directory.canonicalize() else { return false };
    let shared = |shared: &&str| Path::new(shared).canonicalize().is_ok_and(|it| it == real);
    real.parent().is_none() || SHARED.iter().any(shared) || is_home(&real)
}

fn is_among(directory: &Path, given: &[PathBuf]) -> bool {
    directory.canonicalize().is_ok_and(|real| given.contains(&real))
}

fn above(path: PathBuf) -> Option<PathBuf> {
    path.parent().map(Path::to_path_buf)
}

/// A whole path, and where that leads by its links, if it does.
pub(super) fn both(path: &Path) -> Vec<PathBuf> {
    let Ok(whole) = std::path::absolute(path) else { return Vec::new() };
    let real = real(&whole).filter(|real| *real != whole);
    [Some(whole), real].into_iter().flatten().collect()
}

/// Where a path leads, whether there is something or not: a link may be there before its file is.
fn real(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        let Some(name) = path.file_name() else { return path.canonicalize().ok() };
        let directory = path.parent()?.canonicalize().ok()?;
        path = directory.join(name);
        match path.read_link() {
            Ok(target) => path = directory.join(target),
            Err(_) => return Some(path),
        }
    }
    None
}

/// Where there is something of everybody's; below `/home` each directory is somebody's home.
const SHARED: [&str; 16] = [
    "/boot",
    "/dev",
    "/dev/shm",
    "/etc",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/run",
    "/srv",
    "/usr",
    "/usr/local",
    "/var",
    "/var/home",
    "/var/lib",
    "/var/log",
];
/// Links that are followed, as many as the kernel does (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// What the C library reads of the host: who looks names up and where, the zone of its clock, and
/// libraries for that; and what the process is told of itself. `/proc` is there as a whole, because its
/// directories are made anew at any time.
const SYSTEM: [&str; 9] = [
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/share/zoneinfo",
    "/proc",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];
/// What may be a link to elsewhere, wherever the host keeps it.
const HOST_FILES: [&str; 3] = ["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"];
/// What modules of PAM read beside that: the SSSD's and other lists of users, and whether logins are
/// shut.
const MODULES: [&str; 3] = ["/var/lib/sss", "/var/lib/extrausers", "/run/nologin"];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_reached_where_it_is_and_where_it_leads() {
        let there = tempfile::tempdir().unwrap();
        let there = there.path().canonicalize().unwrap();
        let path = |name: &str| there.join(name);
        for directory in ["named", "between", "real"] {
            fs::create_dir(path(directory)).unwrap();
        }
        symlink(path("between/link"), path("named/file")).unwrap();
        symlink("../real/file", path("between/link")).unwrap();
        // Whether it is there yet or not.
        for _ in 0..2 {
            assert_eq!(around(&path("named/file")), [path("named"), path("real")]);
            fs::write(path("real/file"), "x").unwrap();
        }
        assert_eq!(around(&path("real/file")), [path("real")]);
        symlink(path("named/round"), path("named/round")).unwrap();
        assert_eq!(around(&path("named/round")), [path("named")]);
        assert_eq!(around(&path("nowhere/file")), [path("nowhere")]);
    }

    #[test]
    fn a_directory_of_everybodys_is_one_by_whatever_name() {
        let there = tempfile::tempdir().unwrap();
        let link = |to: &str| {
            let link = there.path().join(to.replace('/', "-"));
            symlink(to, &link).unwrap();
            link
        };
        for shared in ["/", "/usr", "/var/lib"] {
            assert!(is_more_than_ours(Path::new(shared)), "{shared}");
            assert!(is_more_than_ours(&link(shared)), "a link to {shared}");
        }
        assert!(!is_more_than_ours(there.path()));
        assert!(!is_more_than_ours(&there.path().join("missing")));
        let given = [there.path().canonicalize().unwrap()];
        assert!(is_among(&there.path().join("../").join(there.path()), &given));
        assert!(!is_among(Path::new("/usr"), &given));
    }

    #[test]
    fn what_lies_directly_below_the_root_goes_alone() {
        assert_eq!(around(Path::new("/file.toml")), [PathBuf::from("/file.toml")]);
        assert_eq!(around(Path::new("/")), [PathBuf::from("/")]);
    }

    #[test]
    fn a_path_without_a_directory_is_below_the_working_one() {
        assert_eq!(around(Path::new("ledger")), [std::env::current_dir().unwrap()]);
    }
}

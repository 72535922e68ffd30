//! What of our files belongs to others, so that root reaches it by capabilities only.
//!
//! Root without capabilities is one user among others: what the mode of a file keeps from others is kept
//! from it, too. Where all is root's own, as in a container or below `/var/lib`, it needs none. Where the
//! proxy is run by root in somebody's directory, what is there can be read and written, and what is made
//! is given to that user, as without this.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::inspection::{data_directory, ledger};
use super::reach::both;
use crate::access_log::Place;
use crate::config::{AccessLogSettings, Settings};
use crate::linux::privileges::Needs;
use crate::linux::volume::{may_append_to, may_read, may_write_to, nearest_there};

/// What root needs to reach its files as a user who owns none of them; `files` are those that a reload
/// reads. To be asked by a thread that has no capabilities.
pub(super) fn to_reach(settings: &Settings, files: &[(&str, PathBuf)]) -> Needs {
    let (directories, written) = written(settings);
    let writes = directories.iter().any(|path| !is_ours(path) || may_write_to(path).is_err())
        || written.iter().any(|path| !is_ours(path) || may_append_to(path).is_err());
    let mut read = files.iter().flat_map(|(_, path)| both(path));
    let reads = read.any(|path| !is_ours(&around(&path)) || denied(&path));
    Needs::WRITING.when(writes).and(Needs::READING.when(reads))
}

/// The directories in which files are made, as far as they are there, and the files that are there and
/// are written to.
fn written(settings: &Settings) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let data = data_directory(settings);
    let database = settings.sessions.database_url.strip_prefix("sqlite://");
    let database = database.filter(|_| data.is_some()).map(PathBuf::from);
    // What a predecessor leaves beside it.
    let beside = database.iter().flat_map(|database| {
        ["-wal", "-shm", ".lock"].map(|end| {
            let mut path = database.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        })
    });
    let log = match &settings.logging.access_log {
        Some(AccessLogSettings { place: Place::File(log), .. }) => Some(log.clone()),
        Some(_) | None => None,
    };
    let token = Some(settings.server.api_token_file.clone());
    let files = [database.clone(), log, token].into_iter().flatten().chain(beside);
    let files: Vec<_> = files.flat_map(|file| both(&file)).collect();
    let above = files.iter().map(|file| around(file));
    let directories = above.chain(data.into_iter().chain(ledger(settings)));
    let directories = directories.map(|directory| nearest_there(&directory)).collect();
    (directories, files.into_iter().filter(|file| is_there(file)).collect())
}

/// What has been replaced by its owner once may be replaced by another that nobody else may read.
fn around(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_path_buf()
}

/// Unless it is said that there is none: what may not be looked at may be there.
fn is_there(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

fn denied(path: &Path) -> bool {
    may_read(path).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

fn is_ours(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.uid() == rustix::process::geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::thread;

    use super::*;
    use crate::linux::privileges::{is_root, keep_capabilities};

    #[test]
    fn root_needs_nothing_for_its_own_files_and_what_is_anothers_is_reached() {
        if !is_root() {
            return eprintln!("SKIPPED: only root can give files to others");
        }
        let there = tempfile::tempdir().unwrap();
        let path = |name: &str| there.path().join(name);
        for directory in ["data", "ledger", "conf"] {
            fs::create_dir(path(directory)).unwrap();
        }
        for file in ["data/sessions.db", "conf/users"] {
            fs::write(path(file), "").unwrap();
        }
        let (mut settings, _) = Settings::load(None).unwrap();
        settings.sessions.database_url = format!("sqlite://{}", path("data/sessions.db").display());
        settings.sessions.ledger_path = path("ledger");
        settings.server.api_token_file = path("data/api-token");
        let files = [("auth.users_file", path("conf/users"))];
        let needs = || {
            thread::scope(|scope| {
                let asked = scope.spawn(|| {
                    keep_capabilities(Needs::NOTHING).unwrap();
                    to_reach(&settings, &files)
                });
                asked.join().unwrap()
            })
        };
        assert_eq!(needs(), Needs::NOTHING);
        for (anothers, expected) in [
            ("data", Needs::WRITING),
            ("data/sessions.db", Needs::WRITING),
            ("ledger", Needs::WRITING),
            ("conf", Needs::READING),
        ] {
            chown(path(anothers), Some(65_534), Some(65_534)).unwrap();
            assert_eq!(needs(), expected, "{anothers}");
            chown(path(anothers), Some(0), Some(0)).unwrap();
        }
        // Readable to whoever owns it and nobody else, in a directory of ours.
        fs::set_permissions(path("conf/users"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(needs(), Needs::NOTHING);
        chown(path("conf/users"), Some(65_534), Some(65_534)).unwrap();
        assert_eq!(needs(), Needs::READING);
    }
}

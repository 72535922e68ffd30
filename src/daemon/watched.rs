//! Files that are looked at while the process runs, and told of when they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::reload::Outcome;
use crate::admin::NotReloaded;
use crate::config::Settings;

/// A file as it was when it was read last. It is looked at by name, so that one that another was
/// renamed over is seen, too.
pub(super) struct Watched {
    path: Option<PathBuf>,
    known: Option<Signature>,
    /// What it looked like a moment ago, if that is another: it is read once it stays.
    new: Option<Signature>,
    /// Its change was told, and could not be taken over yet.
    waits: bool,
}

/// Whether a change is told again because it could not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PutOff {
    No,
    /// For the first time.
    Now,
    /// As before.
    Still,
}

pub(super) type Signature = (u64, u64, i64, i64, u64);

impl Watched {
    fn of(path: Option<PathBuf>) -> Self {
        let known = path.as_deref().and_then(signature);
        Self { path, known, new: None, waits: false }
    }

    /// The configuration itself.
    pub(super) fn config(path: Option<&Path>, settings: &Settings) -> Self {
        Self::of(path.map(Path::to_path_buf).filter(|_| settings.acl.watch))
    }

    /// The rule file.
    pub(super) fn rules(settings: &Settings) -> Self {
        Self::of(settings.acl.rule_file.clone().filter(|_| settings.acl.watch))
    }

    /// The file of users.
    pub(super) fn users(settings: &Settings) -> Self {
        Self::of(settings.auth.users_file.clone())
    }

    /// What it is from here on. Where that is the same file, it was read as it was `before` or later.
    pub(super) fn follow(&mut self, next: Self, before: Option<Signature>) {
        let known = if next.path == self.path { before } else { next.known };
        *self = Self { known, ..next };
    }

    /// What it looks like now.
    pub(super) fn look(&self) -> Option<Signature> {
        self.path.as_deref().and_then(signature)
    }

    /// Whether it has changed and stays as it is now. Each change is told once, unless it is put off.
    pub(super) fn has_changed(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        let now = signature(path);
        if now.is_none() || now == self.known {
            self.new = None;
            return false;
        }
        if now != self.new {
            self.new = now;
            return false;
        }
        self.known = now;
        self.new = None;
        true
    }

    /// What came of the change that was told: one that met somebody busy is told again.
    pub(super) fn put_off(&mut self, result: &Outcome) -> PutOff {
        let waited = self.waits;
        self.waits = matches!(result, Err(NotReloaded::Busy(_)));
        if !self.waits {
            return PutOff::No;
        }
        self.new = self.known.take();
        if waited { PutOff::Still } else { PutOff::Now }
    }
}

fn signature(path: &Path) -> Option<Signature> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_met_somebody_busy_is_told_until_it_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.toml");
        fs::write(&path, "").unwrap();
        let mut watched = Watched::of(Some(path.clone()));
        assert!(!watched.has_changed());
        fs::write(&path, "other").unwrap();
        assert!(!watched.has_changed() && watched.has_changed());
        let busy = Err(NotReloaded::Busy("worker 0".to_owned()));
        assert_eq!(watched.put_off(&busy), PutOff::Now);
        assert!(watched.has_changed());
        assert_eq!(watched.put_off(&busy), PutOff::Still);
        assert!(watched.has_changed());
        assert_eq!(watched.put_off(&Err(NotReloaded::Refused("line 1".to_owned()))), PutOff::No);
        assert!(!watched.has_changed(), "it will not be better for being read again");
    }
}

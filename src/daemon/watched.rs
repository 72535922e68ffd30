//! Files that are looked at while the process runs, and told of when they have changed.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::reload::Outcome;
use crate::admin::NotReloaded;
use crate::config::Settings;

/// A file as it was when it was taken over last. It is looked at by name, so that one that another was
/// renamed over is seen, too.
pub(super) struct Watched {
    path: Option<PathBuf>,
    known: Option<Signature>,
    /// What it looked like a moment ago, if that is another: it is read once it stays. One that cannot be
    /// looked at looks like nothing.
    new: Option<Option<Signature>>,
    standing: Standing,
}

/// How the file stands to what is in force.
enum Standing {
    /// That is what it says, or it is read in a moment.
    TakenOver,
    /// It says something else, and could not be taken over yet, because of this.
    Waits(String),
    /// It says something else, or cannot be read.
    Refused(Refusal),
}

struct Refusal {
    why: String,
    /// As it was when it was refused: it will not be better for being read again.
    as_it_was: Option<Signature>,
    /// Unless it could not be opened, which a mount may mend that leaves no trace in the file.
    opens: bool,
    opened_again_at: Instant,
    told_again_at: Instant,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    content: (u64, u64, i64, i64, u64),
    /// Whoever may read it now is seen by this alone.
    inode_changed: (i64, i64),
}

impl Watched {
    fn of(path: Option<PathBuf>) -> Self {
        let known = path.as_deref().and_then(signature);
        Self { path, known, new: None, standing: Standing::TakenOver }
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

    /// Whether it has changed, or is gone, and stays as it is now. Each change is told once, unless it is
    /// put off, and again when a file that could not be opened can be.
    pub(super) fn has_changed(&mut self, now: Instant) -> bool {
        let Some(path) = &self.path else { return false };
        let look = signature(path);
        if look.map(|it| it.content) == self.known.map(|it| it.content) {
            self.new = None;
            self.standing = Standing::TakenOver;
            return false;
        }
        if let Standing::Refused(refusal) = &mut self.standing
            && refusal.as_it_was == look
        {
            let opens = refusal.opens_by_now(now, path);
            self.new = opens.then_some(look);
            return opens;
        }
        self.new.replace(look) == Some(look)
    }

    /// What came of the change that was told: one that met somebody busy is told again.
    pub(super) fn came_to(&mut self, result: &Outcome, now: Instant) -> PutOff {
        match result {
            Ok(_) | Err(NotReloaded::GoesOn(_)) => {
                self.known = self.new.take().unwrap_or(self.known);
                self.standing = Standing::TakenOver;
                PutOff::No
            }
            Err(busy @ NotReloaded::Busy(_)) => {
                let waited = matches!(self.standing, Standing::Waits(_));
                self.standing = Standing::Waits(busy.to_string());
                if waited { PutOff::Still } else { PutOff::Now }
            }
            Err(refused @ NotReloaded::Refused(_)) => {
                self.standing = Standing::Refused(Refusal {
                    why: refused.to_string(),
                    as_it_was: self.new.take().flatten(),
                    opens: self.path.as_deref().is_some_and(opens),
                    opened_again_at: now + OPENED_AGAIN_EVERY,
                    told_again_at: now + TOLD_AGAIN_EVERY,
                });
                PutOff::No
            }
        }
    }

    /// Why what is in force is not what it says.
    pub(super) fn behind(&self) -> Option<&str> {
        match &self.standing {
            Standing::TakenOver => None,
            Standing::Waits(why) | Standing::Refused(Refusal { why, .. }) => Some(why),
        }
    }

    /// Why it was refused, if it is time to say so again.
    pub(super) fn told_again(&mut self, now: Instant) -> Option<&str> {
        match &mut self.standing {
            Standing::Refused(refusal) if now >= refusal.told_again_at => {
                refusal.told_again_at = now + TOLD_AGAIN_EVERY;
                Some(&refusal.why)
            }
            Standing::TakenOver | Standing::Waits(_) | Standing::Refused(_) => None,
        }
    }
}

impl Refusal {
    /// Whether it can be opened, where it could not be. It is tried now and then.
    fn opens_by_now(&mut self, now: Instant, path: &Path) -> bool {
        if self.opens || now < self.opened_again_at {
            return false;
        }
        self.opened_again_at = now + OPENED_AGAIN_EVERY;
        opens(path)
    }
}

fn opens(path: &Path) -> bool {
    File::open(path).is_ok()
}

fn signature(path: &Path) -> Option<Signature> {
    let file = fs::metadata(path).ok()?;
    Some(Signature {
        content: (file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len()),
        inode_changed: (file.ctime(), file.ctime_nsec()),
    })
}

/// Between two attempts to open a file that could not be opened and looks as it did.
const OPENED_AGAIN_EVERY: Duration = Duration::from_secs(60);
/// Between two warnings of one file that is refused.
const TOLD_AGAIN_EVERY: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn busy() -> Outcome {
        Err(NotReloaded::Busy("worker 0".to_owned()))
    }

    fn refused() -> Outcome {
        Err(NotReloaded::Refused("line 1".to_owned()))
    }

    #[test]
    fn a_change_that_met_somebody_busy_is_told_until_it_is_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.toml");
        fs::write(&path, "").unwrap();
        let mut watched = Watched::of(Some(path.clone()));
        let now = clock::mono();
        assert!(!watched.has_changed(now));
        fs::write(&path, "other").unwrap();
        assert!(!watched.has_changed(now) && watched.has_changed(now));
        assert_eq!(watched.came_to(&busy(), now), PutOff::Now);
        assert!(watched.has_changed(now));
        assert_eq!(watched.came_to(&busy(), now), PutOff::Still);
        assert_eq!(watched.behind(), Some("worker 0"));
        assert!(watched.has_changed(now));
        assert_eq!(watched.came_to(&refused(), now), PutOff::No);
        let later = now + 2 * OPENED_AGAIN_EVERY;
        assert!(!watched.has_changed(later), "it will not be better for being read again");
    }

    #[test]
    fn what_is_refused_is_told_again_now_and_then_until_it_is_as_it_was_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) = (directory.path().join("users"), directory.path().join("aside"));
        fs::write(&path, "").unwrap();
        let mut watched = Watched::of(Some(path.clone()));
        let now = clock::mono();
        fs::rename(&path, &aside).unwrap();
        assert!(!watched.has_changed(now) && watched.has_changed(now), "one that is gone is told");
        watched.came_to(&refused(), now);
        assert!(!watched.has_changed(now));
        for told in 1..=2 {
            let later = now + told * TOLD_AGAIN_EVERY;
            assert_eq!(watched.told_again(later - Duration::from_secs(1)), None);
            assert_eq!(watched.told_again(later), Some("line 1"));
            assert_eq!(watched.told_again(later), None);
        }
        assert_eq!(watched.behind(), Some("line 1"));
        fs::rename(&aside, &path).unwrap();
        assert!(!watched.has_changed(now), "it is the one that is in force");
        assert_eq!(watched.behind(), None);
    }

    #[test]
    fn one_that_could_not_be_opened_is_read_when_it_can_be_though_it_looks_as_it_did() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, "").unwrap();
        let mut watched = Watched::of(Some(path.clone()));
        let now = clock::mono();
        fs::write(&path, "other").unwrap();
        assert!(!watched.has_changed(now) && watched.has_changed(now));
        watched.came_to(&refused(), now);
        if let Standing::Refused(refusal) = &mut watched.standing {
            refusal.opens = false;
        }
        let later = now + OPENED_AGAIN_EVERY;
        assert!(!watched.has_changed(later - Duration::from_secs(1)), "not in each turn");
        assert!(watched.has_changed(later));
        watched.came_to(&refused(), later);
        assert!(!watched.has_changed(later + OPENED_AGAIN_EVERY), "it was read, and is wrong");
    }
}

//! Reload: everything is read and checked first, then every worker is given the new policy, or none is.
//!
//! ```text
//! SIGHUP ──┐
//! API ─────┼─▶ this thread: file ─▶ Settings, Rules ─▶ Policy ─▶ Letter::Policy to each worker
//! watch ───┘        │ wrong                                        │ counters say: taken
//!                   ▼                                              ▼
//!             nothing changes, and why                  what changed, what takes a restart
//! ```
//!
//! It is a thread of its own, because a large rule file takes a second to read, and the daemon's main
//! thread has workers to look after.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::host_files::HostFilesSeen;
use super::low_ports::try_ports;
use super::retired::Retired;
use super::start::Shared;
use super::{egress, service};
use crate::acl::{OwnListeners, Rule, Rules};
use crate::admin::{NotReloaded, Posts, Reloaded};
use crate::clock;
use crate::config::{Changes, ConfigError, Sandbox, Settings};
use crate::limit::Limits;
use crate::linux::interfaces::local_addresses;
use crate::mailbox::Letter;
use crate::policy::{InForce, Policy};
use crate::stats::Counters;

/// What comes of a wish.
pub(super) type Outcome = Result<Reloaded, NotReloaded>;

/// A wish.
#[derive(Debug)]
pub(super) struct Wish {
    /// Whose, for the log.
    pub(super) by: String,
    /// Who waits for what comes of it.
    pub(super) answer: Option<Sender<Outcome>>,
}

/// What is reloaded from, and into what.
pub(super) struct Reloader {
    config: Option<PathBuf>,
    /// With what the process started: what only a restart changes.
    started: Settings,
    /// What was applied last.
    applied: Settings,
    rules: Option<Arc<Rules>>,
    own: OwnListeners,
    /// When the host's addresses are looked at next.
    addresses_at: Instant,
    generation: u64,
    posts: Arc<Posts>,
    counters: Arc<[Arc<Counters>]>,
    in_force: Arc<InForce>,
    retired: Retired<Policy>,
    limits: Arc<Limits>,
    watched_rules: Watched,
    watched_users: Watched,
    host_files: HostFilesSeen,
}

impl Reloader {
    pub(super) fn new(
        config: Option<&Path>,
        settings: &Settings,
        policy: &Policy,
        own: OwnListeners,
        shared: &Shared,
    ) -> Self {
        Self {
            config: config.map(Path::to_path_buf),
            started: settings.clone(),
            applied: settings.clone(),
            rules: policy.acl.rules().cloned(),
            own,
            addresses_at: clock::mono(),
            generation: policy.generation,
            posts: Arc::clone(&shared.posts),
            counters: Arc::clone(&shared.counters),
            in_force: Arc::clone(&shared.in_force),
            retired: Retired::new(),
            limits: Arc::clone(shared.admission.limits()),
            watched_rules: Watched::rules(settings),
            watched_users: Watched::users(settings),
            host_files: HostFilesSeen::of(settings),
        }
    }

    /// The thread's body: until nobody is left who may wish.
    pub(super) fn run(mut self, wishes: &Receiver<Wish>) {
        loop {
            self.retired.sweep();
            match wishes.recv_timeout(WATCH_EVERY) {
                Ok(wish) => {
                    service::reloading();
                    let result = self.reload();
                    service::reloaded();
                    self.tell(&wish.by, &result);
                    if let Some(answer) = wish.answer {
                        // Whoever asked may have gone.
                        drop(answer.send(result));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if clock::mono() >= self.addresses_at {
                        self.look_at_addresses();
                    }
                    if self.watched_rules.has_changed() {
                        let result = self.busy().map_or_else(|| self.reload_rules(), Err);
                        let put_off = self.watched_rules.put_off(&result);
                        self.tell_or_wait("a change of the rule file", &result, put_off);
                    }
                    if self.watched_users.has_changed() {
                        let result = self.busy().map_or_else(|| self.reload_users(), Err);
                        let put_off = self.watched_users.put_off(&result);
                        self.tell_or_wait("a change of the file of users", &result, put_off);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks which addresses the host has by now: the proxy's own listeners are for nobody at any of them.
    fn look_at_addresses(&mut self) {
        self.addresses_at = clock::mono() + ADDRESSES_EVERY;
        match local_addresses().map(|local| self.own.local.set(local)) {
            Ok(true) => {
                tracing::info!("the addresses of this host have changed; the guard knows them");
            }
            Ok(false) => {}
            // It was warned of at the start, if it was so then.
            Err(error) => tracing::debug!("the addresses of this host cannot be read: {error}"),
        }
    }

    /// Of a change that is put off, it is told once that it is.
    fn tell_or_wait(&self, by: &str, result: &Outcome, put_off: PutOff) {
        match (result, put_off) {
            (Ok(_), _) | (_, PutOff::No) => self.tell(by, result),
            (Err(why), PutOff::Now) => {
                tracing::warn!("reload by {by} is put off, and tried again till it is done: {why}");
            }
            (Err(_), PutOff::Still) => {}
        }
    }

    fn tell(&self, by: &str, result: &Outcome) {
        match result {
            Ok(reloaded) => {
                self.in_force.reload_applied();
                tracing::info!(
                    "reloaded by {by}: policy {} in {} workers, {}, changed: {}",
                    reloaded.generation,
                    reloaded.workers,
                    Rules::name(self.rules.as_deref()),
                    if reloaded.changed.is_empty() {
                        "nothing".into()
                    } else {
                        reloaded.changed.join(", ")
                    },
                );
                for warning in &reloaded.warnings {
                    tracing::warn!("{warning}");
                }
                if !reloaded.needs_restart.is_empty() {
                    let keys = reloaded.needs_restart.join(", ");
                    tracing::warn!("a restart is needed to apply {keys}");
                }
            }
            Err(why) => {
                self.in_force.reload_refused();
                let again = if matches!(why, NotReloaded::Busy(_)) { "; ask again" } else { "" };
                tracing::error!("reload by {by} refused, nothing has changed: {why}{again}");
            }
        }
    }

    /// Configuration and rules.
    fn reload(&mut self) -> Outcome {
        let (rules_before, users_before) = (self.watched_rules.look(), self.watched_users.look());
        let failure = |error: ConfigError| refused(self.explained(&error.to_string()));
        let loaded = Settings::load_again(self.config.as_deref(), &self.applied);
        let (mut settings, warnings) = loaded.map_err(failure)?;
        let rules = settings.load_rules().map_err(failure)?;
        let mut changes = Changes::between(&self.started, &self.applied, &settings);
        changes.restart.extend(self.host_files.that_differ().map(str::to_owned));
        if self.started.auth.pam.is_none() {
            settings.auth.ask_nobody();
        }
        let reloaded = self.apply(settings, rules, changes, warnings)?;
        self.watched_rules.follow(Watched::rules(&self.applied), rules_before);
        self.watched_users.follow(Watched::users(&self.applied), users_before);
        Ok(reloaded)
    }

    /// What is not permitted here may be permitted to a start.
    fn explained(&self, error: &str) -> String {
        if self.started.server.sandbox == Sandbox::Off || !error.contains("ermission denied") {
            return error.to_owned();
        }
        format!(
            "{error}; a process that runs reads only where it was told at its start to (server.sandbox), \
             and as the user that it has become: a restart may do"
        )
    }

    /// The rules alone, with the settings that are in force.
    fn reload_rules(&mut self) -> Outcome {
        let settings = self.applied.clone();
        let rules = settings.load_rules().map_err(refused)?;
        self.apply(settings, rules, Changes::default(), Vec::new())
    }

    /// The users of their file alone, with the settings and rules that are in force.
    fn reload_users(&mut self) -> Outcome {
        let mut settings = self.applied.clone();
        let mut warnings = Vec::new();
        settings.auth.load_users(&mut warnings).map_err(refused)?;
        let mut changes = Changes::default();
        if !settings.auth.users.lists_as(&self.applied.auth.users) {
            changes.live.push("auth.users".to_owned());
        }
        self.apply(settings, self.rules.clone(), changes, warnings)
    }

    fn apply(
        &mut self,
        mut settings: Settings,
        rules: Option<Arc<Rules>>,
        changes: Changes,
        mut warnings: Vec<String>,
    ) -> Outcome {
        // The listeners are those of the start, wherever the file has them by now.
        settings.open_nothing(&self.started.server.listen, rules.as_deref()).map_err(refused)?;
        egress::try_all(&settings.egress).map_err(refused)?;
        if settings.server.associations != self.applied.server.associations {
            try_ports(&settings.server.associations).map_err(refused)?;
        }
        let mut changed = changes.live;
        changed.extend(difference(self.rules.as_deref(), rules.as_deref()));
        // Clients' sockets have it from their listener, so it is one for both sides.
        settings.server.keepalive_secs = self.started.server.keepalive_secs;
        self.look_at_addresses();
        if let Some(busy) = self.busy() {
            return Err(busy);
        }
        let posts = self.posts.get().map_or(&[][..], Vec::as_slice);
        warnings.extend(settings.strangers(rules.as_deref()));
        let generation = self.generation + 1;
        let policy = settings.policy(generation, self.own.clone(), rules.clone(), posts.len());
        let policy = Arc::new(policy.counting_in(&self.limits));
        // Before any worker lets go of it.
        if let Some(old) = self.in_force.current() {
            self.retired.keep(old);
        }
        // Before any worker counts by it, so that nothing it counts goes unstored.
        self.limits.adopt(&policy.limits.terms, clock::utc_ms());
        for (worker, post) in posts.iter().enumerate() {
            if post.order(Letter::Policy(Arc::clone(&policy))).is_err() {
                // There was room, so it has ended, and with it the process does.
                return Err(refused(format!("worker {worker} has ended")));
            }
        }
        self.generation = generation;
        self.in_force.set(policy);
        self.applied = settings;
        self.rules = rules;
        warnings.extend(self.late_after_waiting(generation));
        Ok(Reloaded {
            generation,
            workers: posts.len(),
            rules: self.rules.as_ref().map_or(0, |rules| rules.ordered().len()),
            changed,
            needs_restart: changes.restart,
            warnings,
        })
    }

    /// Why no worker can be given anything now, if one cannot.
    fn busy(&self) -> Option<NotReloaded> {
        let mut posts = self.posts.get()?.iter();
        let busy = posts.position(|post| !post.takes_orders())?;
        Some(NotReloaded::Busy(format!("worker {busy} takes no more orders now")))
    }

    /// Waits until each worker has the policy, which nothing can take back any more; says so if one
    /// needs longer.
    fn late_after_waiting(&self, generation: u64) -> Option<String> {
        let until = clock::mono() + TAKEN_WITHIN;
        loop {
            let counters = self.counters.iter();
            let late = counters.enumerate().find(|(_, of)| of.policy_generation.get() < generation);
            let (worker, _) = late?;
            if clock::mono() >= until {
                return Some(format!(
                    "worker {worker} will take policy {generation} at its next turn"
                ));
            }
            thread::park_timeout(LOOKED_EVERY);
        }
    }
}

fn refused(why: impl ToString) -> NotReloaded {
    NotReloaded::Refused(why.to_string())
}

/// How the rules differ, in one sentence; whatever their numbers and lines.
fn difference(before: Option<&Rules>, after: Option<&Rules>) -> Option<String> {
    let (mut added, mut removed) = (0, 0);
    let mut count: HashMap<String, i64> = HashMap::new();
    let bare = |rule: &Rule| format!("{:?}", Rule { id: 0, line: 0, ..rule.clone() });
    for rule in before.iter().flat_map(|rules| rules.ordered()) {
        *count.entry(bare(rule)).or_default() -= 1;
    }
    for rule in after.iter().flat_map(|rules| rules.ordered()) {
        *count.entry(bare(rule)).or_default() += 1;
    }
    let mut sums: Vec<i64> = count.into_values().collect();
    sums.sort_unstable();
    for sum in sums {
        if sum > 0 {
            added += sum;
        } else {
            removed -= sum;
        }
    }
    let otherwise = before.map(Rules::otherwise) != after.map(Rules::otherwise);
    if added == 0 && removed == 0 && !otherwise {
        return None;
    }
    let otherwise = if otherwise { ", another default policy" } else { "" };
    Some(format!("rules ({added} added, {removed} removed{otherwise})"))
}

/// A file as it was when it was read last. It is looked at by name, so that one that another was
/// renamed over is seen, too.
struct Watched {
    path: Option<PathBuf>,
    known: Option<Signature>,
    /// What it looked like a moment ago, if that is another: it is read once it stays.
    new: Option<Signature>,
    /// Its change was told, and could not be taken over yet.
    waits: bool,
}

/// Whether a change is told again because it could not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PutOff {
    No,
    /// For the first time.
    Now,
    /// As before.
    Still,
}

type Signature = (u64, u64, i64, i64, u64);

impl Watched {
    fn of(path: Option<PathBuf>) -> Self {
        let known = path.as_deref().and_then(signature);
        Self { path, known, new: None, waits: false }
    }

    fn rules(settings: &Settings) -> Self {
        Self::of(settings.acl.rule_file.clone().filter(|_| settings.acl.watch))
    }

    fn users(settings: &Settings) -> Self {
        Self::of(settings.auth.users_file.clone())
    }

    /// What it is from here on. Where that is the same file, it was read as it was `before` or later.
    fn follow(&mut self, next: Self, before: Option<Signature>) {
        let known = if next.path == self.path { before } else { next.known };
        *self = Self { known, ..next };
    }

    /// What it looks like now.
    fn look(&self) -> Option<Signature> {
        self.path.as_deref().and_then(signature)
    }

    /// Whether it has changed and stays as it is now. Each change is told once, unless it is put off.
    fn has_changed(&mut self) -> bool {
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
    fn put_off(&mut self, result: &Outcome) -> PutOff {
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

/// Between two looks at the files.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at the host's addresses: one system call, and two datagrams of the kernel.
const ADDRESSES_EVERY: Duration = Duration::from_secs(10);
/// How long workers are given to take a policy; they look for letters in every turn.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// How often they are looked at meanwhile.
const LOOKED_EVERY: Duration = Duration::from_millis(1);

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
        assert_eq!(watched.put_off(&Err(refused("line 1"))), PutOff::No);
        assert!(!watched.has_changed(), "it will not be better for being read again");
    }
}

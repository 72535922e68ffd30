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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::host_files::HostFilesSeen;
use super::low_ports::try_ports;
use super::retired::Retired;
use super::start::{Failure, Shared};
use super::watched::{PutOff, Watched};
use super::{egress, service};
use crate::acl::{OwnListeners, Rules};
use crate::admin::{NotReloaded, Posts, Reloaded};
use crate::clock;
use crate::config::{Changes, ConfigError, Sandbox, Settings};
use crate::limit::Limits;
use crate::linux::interfaces::local_addresses;
use crate::mailbox::{Letter, Post};
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
    watched_config: Watched,
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
            watched_config: Watched::config(config, settings),
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
                    let result = self.reload();
                    self.tell(&wish.by, &result);
                    self.say_what_is_behind();
                    if let Some(answer) = wish.answer {
                        // Whoever asked may have gone.
                        drop(answer.send(result));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if clock::mono() >= self.addresses_at {
                        self.look_at_addresses();
                    }
                    self.look_at_files();
                    self.say_what_is_behind();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look_at_files(&mut self) {
        let now = clock::mono();
        // It reads the others as well, which then have not changed any more.
        if self.watched_config.has_changed(now) {
            let result = self.busy().map_or_else(|| self.reload(), Err);
            let put_off = self.watched_config.came_to(&result, now);
            self.tell_or_wait("a change of the configuration", &result, put_off);
        }
        if self.watched_rules.has_changed(now) {
            let result = self.busy().map_or_else(|| self.reload_rules(), Err);
            let put_off = self.watched_rules.came_to(&result, now);
            self.tell_or_wait("a change of the rule file", &result, put_off);
        }
        if self.watched_users.has_changed(now) {
            let result = self.busy().map_or_else(|| self.reload_users(), Err);
            let put_off = self.watched_users.came_to(&result, now);
            self.tell_or_wait("a change of the file of users", &result, put_off);
        }
        for (file, watched) in self.watched() {
            if let Some(why) = watched.told_again(now) {
                tracing::warn!(
                    "{file} is still refused, and what was read of it before is in force: {why}"
                );
            }
        }
    }

    /// For whoever looks from outside.
    fn say_what_is_behind(&mut self) {
        let told = |(file, watched): (&str, &mut Watched)| {
            watched.behind().map(|why| format!("{file} is not in force as it is: {why}"))
        };
        let behind = self.watched().into_iter().find_map(told);
        self.in_force.is_behind(behind);
    }

    fn watched(&mut self) -> [(&'static str, &mut Watched); 3] {
        [
            ("the file of users", &mut self.watched_users),
            ("the rule file", &mut self.watched_rules),
            ("the configuration", &mut self.watched_config),
        ]
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
        service::reloading();
        let result = self.reload_all();
        service::reloaded();
        result
    }

    fn reload_all(&mut self) -> Outcome {
        let config_before = self.watched_config.look();
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
        let config = self.config.as_deref();
        self.watched_config.follow(Watched::config(config, &self.applied), config_before);
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
        let rules = settings.load_rules();
        let rules = rules.map_err(|error| refused(self.explained(&error.to_string())))?;
        self.apply(settings, rules, Changes::default(), Vec::new())
    }

    /// The users of their file alone, with the settings and rules that are in force.
    fn reload_users(&mut self) -> Outcome {
        let mut settings = self.applied.clone();
        let mut warnings = Vec::new();
        let loaded = settings.auth.load_users(&mut warnings);
        loaded.map_err(|error| refused(self.explained(&error.to_string())))?;
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
        egress::try_all(&settings.egress).map_err(|failure| refused(permitted(&failure)))?;
        if settings.server.associations != self.applied.server.associations {
            try_ports(&settings.server.associations).map_err(refused)?;
        }
        let mut changed = changes.live;
        changed.extend(Rules::difference(self.rules.as_ref(), rules.as_ref()));
        // Clients' sockets have it from their listener, so it is one for both sides.
        settings.server.keepalive_secs = self.started.server.keepalive_secs;
        self.look_at_addresses();
        if let Some(busy) = self.busy() {
            return Err(busy);
        }
        let posts = self.posts.get().map_or(&[][..], Vec::as_slice);
        warnings.extend(settings.doubts(rules.as_deref()));
        // Whatever comes of it: no number is ever that of two policies.
        self.generation += 1;
        let generation = self.generation;
        let policy = settings.policy(generation, self.own.clone(), rules.clone(), posts.len());
        let mut policy = policy.counting_in(&self.limits);
        let old = self.in_force.current();
        if let Some(old) = &old {
            policy.acl = policy.acl.counting_on(&old.acl);
        }
        let policy = Arc::new(policy);
        // Before any worker counts by it, so that nothing it counts goes unstored.
        self.limits.adopt(&policy.limits.terms, clock::utc_ms());
        if let Some(ended) = posts.iter().position(|post| !order(post, &policy)) {
            // With it the process ends.
            if let Some(old) = old {
                self.limits.adopt(&old.limits.terms, clock::utc_ms());
            }
            return Err(refused(format!("worker {ended} has ended")));
        }
        // A worker may have let go of it by now, which never is the last to have it.
        if let Some(old) = old {
            self.retired.keep(old);
        }
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

/// What a process that runs may not do any more may be permitted to a start.
fn permitted(failure: &Failure) -> String {
    if !failure.is_permission() {
        return failure.to_string();
    }
    format!(
        "{failure}; a process that runs has kept no capability that its settings had no use for at its \
         start: a restart may do"
    )
}

fn refused(why: impl ToString) -> NotReloaded {
    NotReloaded::Refused(why.to_string())
}

/// Gives a worker a policy. There was room a moment ago; whoever else orders something may have taken it,
/// and then there is some soon. Whether the worker is there.
fn order(post: &Post, policy: &Arc<Policy>) -> bool {
    let until = clock::mono() + TAKEN_WITHIN;
    while post.order(Letter::Policy(Arc::clone(policy))).is_err() {
        if clock::mono() >= until {
            return false;
        }
        thread::park_timeout(LOOKED_EVERY);
    }
    true
}

/// Between two looks at the files.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at the host's addresses: one system call, and two datagrams of the kernel.
const ADDRESSES_EVERY: Duration = Duration::from_secs(10);
/// How long workers are given to take a policy; they look for letters in every turn.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);
/// How often they are looked at meanwhile.
const LOOKED_EVERY: Duration = Duration::from_millis(1);

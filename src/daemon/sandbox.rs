//! What the process gives up once it listens: root, capabilities, the files of others, and the system
//! calls that its threads have no use for.
//!
//! ```text
//! listen ─▶ user, groups, capabilities ─▶ no new privileges, no core ─▶ own directories made
//!        ─▶ Landlock ─▶ threads, each with the filter of its duty ─▶ "ready", the main thread's filter
//! ```
//!
//! The order is that of what is needed: sockets and names of users want root, whatever is opened
//! behind Landlock must be known before, and a thread passes everything on to those that it starts. A
//! kernel that lacks a part of it costs a warning.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::inspection::{self, data_directory, ledger};
use super::ownership::to_reach;
use super::reach::reach;
use super::start::Failure;
use crate::config::{self, Settings};
use crate::linux::calls::{Duty, Filters, Refusal};
use crate::linux::heir;
use crate::linux::paths::{Restricted, restrict_to};
use crate::linux::private::PrivateDirectory;
use crate::linux::privileges::{
    Account, Needs, cut_bounding_set, gain_nothing, is_root, keep_capabilities, leave_no_core,
};

/// Starts threads, each in its sandbox.
#[derive(Clone)]
pub(super) struct Sandbox {
    filters: Option<Arc<Filters>>,
    /// What the process has kept of root, which most threads give up.
    kept: Needs,
}

impl Sandbox {
    /// Gives up everything that is not needed once the sockets are bound. To be called while there is
    /// one thread.
    pub(super) fn enter(settings: &Settings, config: Option<&Path>) -> Result<Self, Failure> {
        let files = files(settings, config);
        let kept = become_user(settings, &files)?;
        gain_nothing().map_err(|error| Failure::io("no_new_privs cannot be set", &error))?;
        // Whatever the sandbox: those who check passwords have secrets in any.
        leave_no_core().map_err(|error| Failure::io("cores cannot be switched off", &error))?;
        inspection::say(inspection::unreadable(settings, config));
        if settings.server.sandbox == config::Sandbox::Off {
            return Ok(Self { filters: None, kept });
        }
        make_directories(settings);
        match restrict_to(&reach(settings, &files)) {
            Ok(Restricted::Fully) => tracing::info!("sandbox: only our own files can be reached"),
            Ok(Restricted::Partly) => tracing::info!(
                "sandbox: only our own files can be reached, as far as this kernel's Landlock goes"
            ),
            Ok(Restricted::Not) => {
                tracing::warn!("sandbox: this kernel has no Landlock: any file can be reached");
            }
            Err(error) => tracing::warn!("sandbox: any file can be reached: {error}"),
        }
        let refusal = match settings.server.sandbox {
            config::Sandbox::Strict => Refusal::Kills,
            config::Sandbox::On | config::Sandbox::Off => Refusal::Fails,
        };
        let filters = Filters::new(refusal).and_then(|filters| {
            // One that the kernel has none of is told once, here, and not by each thread.
            let tried = filters.clone();
            thread::scope(|scope| {
                let trial = scope.spawn(move || tried.put_on(Duty::Main));
                trial.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")))
            })?;
            Ok(filters)
        });
        match filters {
            Ok(filters) => {
                tracing::info!("sandbox: each thread makes the system calls of its duty only");
                Ok(Self { filters: Some(Arc::new(filters)), kept })
            }
            Err(error) => {
                tracing::warn!("sandbox: no filter of system calls: {error}");
                Ok(Self { filters: None, kept })
            }
        }
    }

    /// None at all.
    #[cfg(test)]
    pub(super) const fn none() -> Self {
        Self { filters: None, kept: Needs::NOTHING }
    }

    /// Leaves this thread, and those that it starts, the capabilities and the system calls of `duty`.
    pub(super) fn put_on(&self, duty: Duty) {
        // Without any there is nothing to give up.
        if self.kept != Needs::NOTHING {
            keep(self.kept.among(of_duty(duty)));
        }
        if let Some(filters) = &self.filters
            && let Err(error) = filters.put_on(duty)
        {
            tracing::warn!("sandbox: a thread makes whatever system calls it likes: {error}");
        }
    }

    /// Starts a thread of this duty.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        duty: Duty,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, Failure> {
        let sandbox = self.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                sandbox.put_on(duty);
                body()
            })
            .map_err(|error| Failure::io(&format!("cannot start the thread {name}"), &error))
    }

    /// Has a thread of this duty do something, and waits for it: the threads that are started meanwhile
    /// are of this duty, too.
    pub(super) fn within<T: Send>(
        &self,
        duty: Duty,
        body: impl FnOnce() -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        thread::scope(|scope| {
            // What it starts bears its name, too, until it takes one of its own.
            let starter = thread::Builder::new().name(duty.name().to_owned());
            let started = starter.spawn_scoped(scope, || {
                self.put_on(duty);
                body()
            });
            let started = started.map_err(|error| Failure::io("cannot start a thread", &error))?;
            started.join().unwrap_or_else(|_| Err(Failure::Other("a start panicked".to_owned())))
        })
    }
}

/// Files that a reload reads, each with the key that names it.
pub(super) fn files(settings: &Settings, config: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let config = config.map(|path| ("--config", path));
    let rules = settings.acl.rule_file.as_deref().map(|path| ("acl.config_file", path));
    let users = settings.auth.users_file.as_deref().map(|path| ("auth.users_file", path));
    let all = [config, rules, users].into_iter().flatten();
    // Whole, because they are looked at by their directories, too.
    all.map(|(key, path)| (key, std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())))
        .collect()
}

/// Becomes the configured user, or gives up what whoever starts us has. Answers what it has kept.
pub(super) fn become_user(
    settings: &Settings,
    files: &[(&str, PathBuf)],
) -> Result<Needs, Failure> {
    let server = &settings.server;
    let needs = needs(settings);
    let Some(user) = &server.user else {
        return Ok(if is_root() { stay_root(settings, files, needs) } else { keep(needs) });
    };
    let group = server.group.as_deref();
    let named = match group {
        None => format!("server.user = {user:?}"),
        Some(group) => format!("server.user = {user:?}, server.group = {group:?}"),
    };
    let account =
        Account::find(user, group).map_err(|error| Failure::io(&named, &error))?.ok_or_else(
            || Failure::Configuration(format!("{named}: this host has no such user or group")),
        )?;
    if account.is_current() && (group.is_none() || !is_root()) {
        // Root by its name is no other than root without.
        return Ok(if is_root() { stay_root(settings, files, needs) } else { keep(needs) });
    }
    if !is_root() {
        return Err(Failure::Permission(format!("{named}: only root can become somebody else")));
    }
    let kept = account
        .become_it(needs)
        .map_err(|error| Failure::io(&format!("{named}: cannot become that user"), &error))?;
    tracing::info!("sandbox: it goes on as {user}, {kept}");
    Ok(kept)
}

/// Goes on as root, with what it needs beside `needs` to reach its files. Answers what it has kept.
fn stay_root(settings: &Settings, files: &[(&str, PathBuf)], needs: Needs) -> Needs {
    let modules = Needs::MODULES.when(settings.auth.pam.is_some());
    let reached = to_reach_files(settings, files);
    let needs = needs.and(reached).and(modules);
    // Where that cannot be known, the next says so.
    let kept = keep(cut_bounding_set(needs).unwrap_or(needs));
    tracing::warn!(
        "it goes on as root, {kept}; set `server.user` to somebody who owns nothing else"
    );
    let lacking = reached.without(kept);
    if lacking != Needs::NOTHING {
        tracing::warn!(
            "what belongs to others it could only be sure to reach {lacking}, which it was not given: a \
             reload may not be able to read what the start has read"
        );
    }
    let lacking = modules.without(kept);
    if lacking != Needs::NOTHING {
        tracing::warn!(
            "modules of PAM may have to act {lacking}, which it was not given: users whom they are asked \
             about may not be let in"
        );
    }
    kept
}

/// What is not needed may have been given for the start. Answers what is left.
fn keep(needs: Needs) -> Needs {
    keep_capabilities(needs).unwrap_or_else(|error| {
        tracing::warn!("sandbox: it keeps the capabilities that it was started with: {error}");
        needs
    })
}

/// What the settings want of root beyond the start.
fn needs(settings: &Settings) -> Needs {
    let named = settings.egress.named.iter().map(|named| &named.egress);
    let mut ways = named.chain([&settings.egress.default]);
    let low = |first: u16| first < LOW_PORTS;
    let ports = settings.server.associations.ports.as_ref();
    Needs::MARKS
        .when(ways.clone().any(|way| way.mark.is_some()))
        .and(Needs::INTERFACES.when(ways.any(|way| way.interface.is_some())))
        .and(Needs::LOW_PORTS.when(ports.is_some_and(|ports| low(*ports.start()))))
}

/// What root needs for its files: by the rights that it would have without capabilities.
fn to_reach_files(settings: &Settings, files: &[(&str, PathBuf)]) -> Needs {
    thread::scope(|scope| {
        let asked = thread::Builder::new().spawn_scoped(scope, || {
            keep_capabilities(Needs::NOTHING).map(|_| to_reach(settings, files))
        });
        asked
            .and_then(|asked| asked.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))))
    })
    // Whoever cannot be asked may need all of it.
    .unwrap_or(Needs::WRITING)
}

/// What a thread of this duty may have of what the process has kept.
const fn of_duty(duty: Duty) -> Needs {
    match duty {
        Duty::Worker | Duty::Names => Needs::SOCKETS,
        Duty::Hash => Needs::NOTHING,
        Duty::Writer | Duty::Api => Needs::WRITING,
        // It looks whether what a reload asks for can be had.
        Duty::Main => Needs::SOCKETS.and(Needs::WRITING),
        Duty::Pam => Needs::MODULES,
    }
}

/// Makes what Landlock can only know when it is there. What cannot be made is told by whoever needs it.
fn make_directories(settings: &Settings) {
    let token = settings.server.api_token_file.parent().map(Path::to_path_buf);
    for directory in data_directory(settings).into_iter().chain(token) {
        heir::make_directories(&directory, 0o777).unwrap_or_default();
    }
    if let Some(ledger) = ledger(settings) {
        drop(PrivateDirectory::open(&ledger));
    }
}

/// Ports that only root may bind.
const LOW_PORTS: u16 = 1024;

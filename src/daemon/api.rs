//! The API's listener and what it answers from.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::passed::Passed;
use super::reload::Wish;
use super::start::{Failure, Shared};
use super::storage::Storage;
use crate::admin::{
    self, Access, Admin, Bounds, GateCounters, Hosts, NotReloaded, Options, Reloaded, Token,
    TokenError,
};
use crate::clock;
use crate::config::Settings;
use crate::linux::calls::Duty;

/// The API, or its absence.
pub(super) struct Api {
    running: Option<(Admin, SocketAddr)>,
}

impl Api {
    /// Binds its address, where it is switched on.
    pub(super) fn bind(
        settings: &Settings,
        passed: &mut Passed,
    ) -> Result<Option<TcpListener>, Failure> {
        let Some(configured) = settings.sessions.api else { return Ok(None) };
        if let Some(listener) = passed.take(configured) {
            return Ok(Some(listener));
        }
        TcpListener::bind(configured)
            .map(Some)
            .map_err(|error| Failure::io(&format!("the API cannot listen on {configured}"), &error))
    }

    /// Starts its threads on that.
    pub(super) fn start(
        bound: Option<TcpListener>,
        settings: &Settings,
        shared: &Shared,
        storage: &Storage,
        wishes: Sender<Wish>,
    ) -> Result<Self, Failure> {
        let Some(listener) = bound else { return Ok(Self { running: None }) };
        let failure = |error| Failure::io("the API cannot be started", &error);
        let address = listener.local_addr().map_err(failure)?;
        let counters = Arc::new(GateCounters::default());
        let api = admin::Api {
            table: Arc::clone(&shared.table),
            ledger: Arc::clone(&shared.ledger),
            workers: Arc::clone(&shared.counters),
            admission: Arc::clone(&shared.admission),
            history: storage.history(),
            windows: Arc::clone(&shared.windows),
            minutes: Arc::clone(&shared.minutes),
            gauges: Arc::clone(&shared.gauges),
            news: Arc::clone(&shared.news),
            in_force: Arc::clone(&shared.in_force),
            reload: Box::new(move |by| reload(&wishes, by)),
            readiness: Arc::clone(&shared.readiness),
            node: shared.node.clone(),
            records: settings.sessions.enabled,
            started: clock::mono(),
            posts: Arc::clone(&shared.posts),
            access: access(settings)?,
            gate: Arc::clone(&counters),
            bounds: Bounds {
                window_hours: settings.sessions.window_hours,
                window_hours_max: settings.sessions.window_max_hours,
            },
            #[cfg(feature = "metrics")]
            metrics: metrics(settings, shared, &counters)?,
        };
        let hosts = Hosts::new(settings.server.api_hosts.iter().cloned());
        let options = Options { hosts, counters, ..Options::default() };
        let service = api.into_service();
        let admin = shared.sandbox.within(Duty::Api, || {
            Admin::start(vec![listener], options, service).map_err(failure)
        })?;
        Ok(Self { running: Some((admin, address)) })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.running.as_ref().map(|(_, address)| *address)
    }

    /// Ends its threads.
    pub(super) fn stop(self) {
        if let Some((admin, _)) = self.running
            && !admin.stop()
        {
            tracing::debug!("a handler of the API was still at work at the end");
        }
    }
}

/// Has configuration and rules reloaded, and waits for what comes of it.
fn reload(wishes: &Sender<Wish>, by: String) -> Result<Reloaded, NotReloaded> {
    let (sender, answer) = crossbeam_channel::bounded(1);
    wishes.try_send(Wish { by, answer: Some(sender) }).map_err(|_| {
        NotReloaded::Busy(
            "a reload is under way, and another waits that will read what is there by then"
                .to_owned(),
        )
    })?;
    answer.recv_timeout(RELOAD_PATIENCE).unwrap_or_else(|_| {
        Err(NotReloaded::GoesOn(
            "the reload goes on; the log will tell what comes of it".to_owned(),
        ))
    })
}

/// The token, which is made where there is none. A file that others may read or write is an error; a
/// directory that cannot be written to costs changes, and everything where reading wants it too.
fn access(settings: &Settings) -> Result<Access, Failure> {
    let required = settings.server.api_require_token;
    let token = match Token::from_file(&settings.server.api_token_file) {
        Ok(token) => Ok(token),
        Err(error @ TokenError::Untrusted { .. }) => {
            return Err(Failure::Configuration(format!("server.api_token_file: {error}")));
        }
        Err(error @ TokenError::Missing { .. }) if required => {
            return Err(Failure::Other(format!("server.api_token_file: {error}")));
        }
        Err(error @ TokenError::Missing { .. }) => {
            tracing::warn!("nothing can be changed through the API: {error}");
            Err(error.to_string())
        }
    };
    Ok(Access::new(token, required))
}

/// How long a reload may take before whoever asked is told that it goes on.
const RELOAD_PATIENCE: Duration = Duration::from_secs(25);

#[cfg(feature = "metrics")]
fn metrics(
    settings: &Settings,
    shared: &Shared,
    gate: &Arc<GateCounters>,
) -> Result<Option<admin::Exposition>, Failure> {
    if !settings.metrics.enabled {
        return Ok(None);
    }
    let sources = admin::Sources {
        workers: Arc::clone(&shared.counters),
        users: Arc::clone(&shared.users),
        windows: Arc::clone(&shared.windows),
        minutes: Arc::clone(&shared.minutes),
        gauges: Arc::clone(&shared.gauges),
        in_force: Arc::clone(&shared.in_force),
        admission: Arc::clone(&shared.admission),
        ledger: Arc::clone(&shared.ledger),
        gate: Arc::clone(gate),
        access_log: Arc::clone(&shared.access_tally),
    };
    let exposition = admin::Exposition::new(sources)
        .map_err(|error| Failure::Other(format!("the metrics cannot be set up: {error}")))?;
    Ok(Some(exposition))
}

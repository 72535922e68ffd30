//! The thread that asks the proxy, so that nobody else waits for it.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde_json::Value;

use super::sample::{Health, Sample, Session, Totals};
use crate::cli::api::Api;
use crate::cli::failure::Failure;
use crate::clock;

/// Which live sessions are to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// One, by its id.
    Session(String),
    /// All of a user.
    User(String),
    /// All to a target, `host:port`.
    Target(String),
    /// All from an address.
    Source(String),
}

/// What the thread says.
#[derive(Debug)]
pub(super) enum Told {
    /// How things stand.
    Sample(Box<Sample>),
    /// Why it cannot be said how things stand.
    Silent(String),
    /// So many sessions were told to end.
    Ended(u64),
    /// Why none was.
    NotEnded(String),
}

/// The way to the thread.
pub(super) struct Inquirer {
    orders: Sender<Which>,
    told: Receiver<Told>,
}

impl Inquirer {
    /// Starts it; it ends when this is dropped, or with the process.
    pub(super) fn start(api: Api, interval: Duration) -> Result<Self, Failure> {
        let (orders, ordered) = bounded(1);
        let (answers, told) = bounded(ANSWERS_MAX);
        thread::Builder::new()
            .name("inquirer".to_owned())
            .spawn(move || inquire(&api, interval, &ordered, &answers))
            .map_err(|error| Failure::Other(format!("cannot start a thread: {error}")))?;
        Ok(Self { orders, told })
    }

    /// What has been said since it was asked last.
    pub(super) fn answers(&self) -> impl Iterator<Item = Told> {
        self.told.try_iter()
    }

    /// Whether the order is on its way: one at a time.
    pub(super) fn end(&self, which: Which) -> bool {
        self.orders.try_send(which).is_ok()
    }
}

fn inquire(api: &Api, interval: Duration, orders: &Receiver<Which>, answers: &Sender<Told>) {
    loop {
        let told = match look(api) {
            Ok(sample) => Told::Sample(Box::new(sample)),
            Err(failure) => Told::Silent(failure.to_string()),
        };
        // A screen that is stopped needs no old news.
        if matches!(answers.try_send(told), Err(TrySendError::Disconnected(_))) {
            return;
        }
        match orders.recv_timeout(interval) {
            Ok(which) => {
                let told = match end(api, &which) {
                    Ok(ended) => Told::Ended(ended),
                    Err(failure) => Told::NotEnded(failure.to_string()),
                };
                if answers.send(told).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn look(api: &Api) -> Result<Sample, Failure> {
    let health = Health::read(&api.get_whatever("/health")?);
    let totals = Totals::read(&api.get("/api/system/resources", &[])?);
    let (mut sessions, mut live, mut cursor) = (Vec::new(), 0, None);
    while sessions.len() < SESSIONS_MAX {
        let mut parameters = vec![("sort", "bytes".to_owned()), ("limit", PAGE.to_string())];
        parameters.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page = api.get("/api/sessions/active", &parameters)?;
        sessions.extend(page["data"].as_array().into_iter().flatten().filter_map(Session::read));
        live = page["total"].as_u64().unwrap_or(0);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    // The sort moves under the pages, so one may be on two of them.
    sessions.sort_by(|a, b| a.id.cmp(&b.id));
    sessions.dedup_by(|a, b| a.id == b.id);
    Ok(Sample { at: Some(clock::mono()), sessions, live, totals, health })
}

fn end(api: &Api, which: &Which) -> Result<u64, Failure> {
    let all = "/api/sessions/terminate";
    let answer: Value = match which {
        Which::Session(id) => api.post(&format!("/api/sessions/{id}/terminate"), &[])?,
        Which::User(user) => api.post(all, &[("user", user.clone())])?,
        Which::Target(target) => api.post(all, &[("dest", target.clone())])?,
        Which::Source(source) => api.post(all, &[("source", source.clone())])?,
    };
    Ok(answer["told"].as_u64().unwrap_or(0))
}

/// Answers that wait for the screen; what comes on top is left out.
const ANSWERS_MAX: usize = 4;
/// The longest page of the API.
const PAGE: usize = 1000;
/// Live sessions that are looked at, those that have moved most; the screen says where there are more.
const SESSIONS_MAX: usize = 20_000;

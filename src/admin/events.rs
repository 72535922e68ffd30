//! `GET /api/events`: what happens, as Server-Sent Events (HTML Standard, §9.2).
//!
//! A handler only says that the client may listen. The stream is the gate's: it takes what the writer
//! tells, writes each event once, and hands it to every listener that wants it, as far as the listener
//! has room.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::reply::ApiReply;
use super::request::{ApiRequest, Method};
use super::route::{Bounds, Route};
use crate::stats::{Filter, News, NewsItem, NewsKind, Record};

/// What a listener wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Of these sessions.
    pub filter: Filter,
    /// Only this; `None` is everything.
    pub only: Option<Topic>,
    /// After how many seconds it has heard enough; `None` is never.
    pub for_secs: Option<u32>,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Something that happened to a session.
    Session(NewsKind),
    /// Health that is another than before.
    Health,
}

impl Topic {
    /// Every topic, with the word for it.
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Session(NewsKind::Opened), NewsKind::Opened.as_str()),
        (Self::Session(NewsKind::Closed), NewsKind::Closed.as_str()),
        (Self::Session(NewsKind::Refused), NewsKind::Refused.as_str()),
        (Self::Health, HEALTH),
    ];
}

/// The data of the event `missed`.
#[derive(Serialize, ToSchema)]
pub(super) struct MissedEvents {
    /// Events that this listener, or the proxy, had no room for.
    count: u64,
}

/// Where the gate gets events from.
pub(super) struct EventSource {
    /// What happens to sessions.
    pub(super) news: Arc<News>,
    /// What `/health` would answer now.
    pub(super) health: Box<dyn Fn() -> String + Send>,
    /// The name of this node.
    pub(super) node: String,
}

/// One event as it is written.
pub(super) struct Event {
    topic: Option<Topic>,
    /// The session that it is about.
    about: Option<NewsItem>,
    /// Of the wire.
    pub(super) text: String,
}

impl Event {
    /// Something happened to a session.
    pub(super) fn of(item: NewsItem, node: &str) -> Self {
        let record = Record::of(&item.session, node);
        // A record holds nothing that JSON cannot.
        let data = serde_json::to_string(&record).unwrap_or_default();
        // Without an `id`: it would promise whoever connects anew to be told what passed meanwhile.
        let text = format!("event: {}\ndata: {data}\n\n", item.kind.as_str());
        Self { topic: Some(Topic::Session(item.kind)), about: Some(item), text }
    }

    /// Health is this now.
    pub(super) fn health(json: &str) -> Self {
        let text = format!("event: {HEALTH}\ndata: {json}\n\n");
        Self { topic: Some(Topic::Health), about: None, text }
    }

    /// So many events are not told.
    pub(super) fn missed(count: u64) -> Self {
        let mut text = String::from("event: missed\ndata: ");
        let data = serde_json::to_string(&MissedEvents { count }).unwrap_or_default();
        // Invariant: writing to a String does not fail.
        write!(text, "{data}\n\n").expect("a String takes all");
        Self { topic: None, about: None, text }
    }

    /// Whether who asks so is to hear of it.
    pub(super) fn is_for(&self, query: &EventsQuery) -> bool {
        let wanted = query.only.is_none() || self.topic.is_none() || query.only == self.topic;
        wanted && self.about.as_ref().is_none_or(|item| query.filter.passes(&item.session))
    }
}

impl EventsQuery {
    /// What the request asks for that a handler has let pass; its first line begins like this.
    pub(super) fn of_request(request: &[u8]) -> Self {
        let line = request.split(|octet| *octet == b'\r').next().unwrap_or_default();
        let target = str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1));
        let (path, query) = match target.unwrap_or_default().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target.unwrap_or_default(), None),
        };
        match Route::of(Method::Get, path, query, &Bounds::default()) {
            Ok(Route::Events(query)) => query,
            // The handler would not have let it pass.
            Ok(_) | Err(_) => Self::default(),
        }
    }
}

impl Api {
    /// `GET /api/events`
    pub(super) fn events(&self, request: &ApiRequest) -> ApiReply {
        let reply = ApiReply::text("").with_content_type("text/event-stream");
        match request.method {
            Method::Get => reply.with_header(STREAM, "events"),
            // Who asks for the head alone listens to nothing.
            Method::Head | Method::Post | Method::Delete | Method::Other => reply,
        }
    }
}

/// The header by which a handler tells the gate to go on by itself. It goes no further than the gate.
pub(super) const STREAM: &str = "X-Stream";
const HEALTH: &str = "health";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_hears_what_its_request_asks_for() {
        let of = |line: &str| EventsQuery::of_request(format!("{line} HTTP/1.1\r\n").as_bytes());
        assert_eq!(of("GET /api/events"), EventsQuery::default());
        let asked = of("GET /api/events?user=a%20b&event=closed&for_secs=3");
        assert_eq!(asked.filter.user.as_deref(), Some("a b"));
        assert_eq!(asked.only, Some(Topic::Session(NewsKind::Closed)));
        assert_eq!(asked.for_secs, Some(3));
        let health = Event::health("{}");
        assert!(health.is_for(&EventsQuery::default()));
        assert!(!health.is_for(&asked));
        assert!(Event::missed(3).is_for(&asked), "whoever misses something is told so");
        assert_eq!(Event::missed(3).text, "event: missed\ndata: {\"count\":3}\n\n");
    }
}

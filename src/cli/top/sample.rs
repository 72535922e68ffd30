//! What the API says at one moment.

use std::time::Instant;

use serde_json::Value;

use crate::clock;

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// When it was taken; `None` of no look at all.
    pub(super) at: Option<Instant>,
    /// The busiest live sessions.
    pub(super) sessions: Vec<Session>,
    /// How many there are in all.
    pub(super) live: u64,
    pub(super) totals: Totals,
    pub(super) health: Health,
}

/// A live session, as far as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) user: String,
    /// The client's address, without its port.
    pub(super) source: String,
    /// `host:port`, IPv6 in brackets.
    pub(super) target: String,
    pub(super) started_ms: i64,
    /// Octets so far, client to target and back.
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// What the process has done since its start, and has now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) uptime_secs: f64,
    pub(super) cpu_secs: f64,
    pub(super) resident_bytes: u64,
    pub(super) descriptors: u64,
    pub(super) descriptors_max: Option<u64>,
    pub(super) connections: u64,
    pub(super) connections_max: u64,
    pub(super) started: u64,
    pub(super) rejected: u64,
    pub(super) auth_failures: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// What `/health` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) version: String,
    pub(super) status: String,
    /// `check: why`, of those that are not well.
    pub(super) complaints: Vec<String>,
}

impl Session {
    /// `None` of something that is no session.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let (host, port) = (text("dest_ip")?, value["dest_port"].as_u64()?);
        // As it is written where a port follows (RFC 3986 §3.2.2).
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Some(Self {
            id: text("session_id")?,
            user: text("user")?,
            source: text("source_ip")?,
            target: format!("{host}:{port}"),
            started_ms: clock::moment(value["start_time"].as_str()?)?,
            sent: value["bytes_sent"].as_u64()?,
            received: value["bytes_received"].as_u64()?,
        })
    }
}

impl Totals {
    /// Of `/api/system/resources`; what it does not say is 0.
    pub(super) fn read(value: &Value) -> Self {
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        let seconds = |value: &Value| value.as_f64().unwrap_or(0.0);
        let since = &value["since_start"];
        Self {
            uptime_secs: seconds(&value["uptime_seconds"]),
            cpu_secs: seconds(&value["cpu_seconds"]),
            resident_bytes: count(&value["resident_bytes"]),
            descriptors: count(&value["open_descriptors"]),
            descriptors_max: value["open_descriptors_max"].as_u64(),
            connections: count(&value["connections"]),
            connections_max: count(&value["connections_max"]),
            started: count(&since["sessions_started"]),
            rejected: count(&since["sessions_rejected"]),
            auth_failures: count(&since["auth_failures"]),
            sent: count(&since["bytes_sent"]),
            received: count(&since["bytes_received"]),
        }
    }
}

impl Health {
    pub(super) fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or("unknown").to_owned();
        let checks = value["checks"].as_object().into_iter().flatten();
        let ill = checks.filter_map(|(name, said)| match said.as_str() {
            Some("ok" | "ready") | None => None,
            Some(why) => Some(format!("{name}: {why}")),
        });
        Self { version: text("version"), status: text("status"), complaints: ill.collect() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_is_read_from_its_record() {
        let record = json!({
            "session_id": "id", "user": "alice", "source_ip": "192.0.2.7", "source_port": 7,
            "dest_ip": "2001:db8::1", "dest_port": 443, "start_time": "1970-01-01T00:00:01.000Z",
            "bytes_sent": 5, "bytes_received": 6, "end_time": null,
        });
        let session = Session::read(&record).unwrap();
        assert_eq!(session.target, "[2001:db8::1]:443");
        assert_eq!((session.started_ms, session.sent, session.received), (1000, 5, 6));
        assert_eq!(Session::read(&json!({ "user": "alice" })), None);
    }

    #[test]
    fn only_what_is_not_well_is_a_complaint() {
        let said = json!({
            "status": "degraded", "version": "1",
            "checks": { "stage": "ready", "writer": "the disk is full", "wal": "ok" },
        });
        assert_eq!(Health::read(&said).complaints, ["writer: the disk is full"]);
    }
}

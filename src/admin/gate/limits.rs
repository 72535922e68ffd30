//! Every bound of the gate in one place, so that a test can shorten what it would wait for.

use std::time::Duration;

/// What the gate allows a client, and itself.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// Connections at once of one address that is not loopback.
    pub connections_per_address: usize,
    /// From accept to the last octet of the body.
    pub request: Duration,
    /// Octets of request line and headers together.
    pub head_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Octets of a request's body.
    pub body_max: usize,
    /// From the whole request to the whole answer of the server within.
    pub answer: Duration,
    /// Octets of an answer's body.
    pub answer_max: usize,
    /// While an answer is written: how long the client may take nothing.
    pub write_idle: Duration,
    /// While an answer is written: how long it may take altogether.
    pub write_total: Duration,
    /// After the answer: how long the client may take to close.
    pub parting: Duration,
    /// How long a listener rests after an accept that failed for want of something.
    pub accept_pause: Duration,
    /// When stopping: how long answers under way may still take.
    pub stop_grace: Duration,
    /// Threads that run the handler.
    pub handlers: usize,
    /// Listeners of `/api/events` at once.
    pub listeners: usize,
    /// The same of one address; loopback is one.
    pub listeners_per_address: usize,
    /// Octets that may wait for one listener.
    pub listener_max: usize,
    /// How long all wait for a listener that has kept up so far to have room again.
    pub listener_hold: Duration,
    /// After which a listener that has nothing to hear is told that we are still there.
    pub listener_beat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            request: REQUEST,
            head_max: HEAD_MAX,
            headers_max: HEADERS_MAX,
            body_max: BODY_MAX,
            answer: ANSWER,
            answer_max: ANSWER_MAX,
            write_idle: WRITE_IDLE,
            write_total: WRITE_TOTAL,
            parting: PARTING,
            accept_pause: ACCEPT_PAUSE,
            stop_grace: STOP_GRACE,
            handlers: HANDLERS,
            listeners: LISTENERS,
            listeners_per_address: LISTENERS_PER_ADDRESS,
            listener_max: LISTENER_MAX,
            listener_hold: LISTENER_HOLD,
            listener_beat: LISTENER_BEAT,
        }
    }
}

const CONNECTIONS: usize = 32;
const CONNECTIONS_PER_ADDRESS: usize = 8;
const REQUEST: Duration = Duration::from_secs(3);
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const BODY_MAX: usize = 64 * 1024;
const ANSWER: Duration = Duration::from_secs(30);
const ANSWER_MAX: usize = 4 * 1024 * 1024;
const WRITE_IDLE: Duration = Duration::from_secs(5);
const WRITE_TOTAL: Duration = Duration::from_secs(60);
const PARTING: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const STOP_GRACE: Duration = Duration::from_millis(400);
/// One more than what may take long may take up ([`Pace`](crate::admin::Pace)), so that health, metrics
/// and what lives never wait for SQL or for a reload.
const HANDLERS: usize = 4;
/// A quarter of the connections, so that there is always room for who asks once.
const LISTENERS: usize = 8;
/// Half, so that nobody has them all for ever.
const LISTENERS_PER_ADDRESS: usize = 4;
const LISTENER_MAX: usize = 256 * 1024;
/// So long as the way from the writer holds what happens meanwhile on a busy proxy.
const LISTENER_HOLD: Duration = Duration::from_millis(250);
const LISTENER_BEAT: Duration = Duration::from_secs(15);

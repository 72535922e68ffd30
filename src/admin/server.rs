//! Starts and stops the API: the gate on its thread, and the threads that run the handler.

use std::env;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::access::Hosts;
use super::events::EventSource;
use super::gate::{Bell, Gate, GateCounters, House, Limits, bump};
use super::leftovers::remove_leftovers;
use super::reply::ApiReply;
use super::request::{ApiRequest, Method};
use super::route::{Bounds, Pace, Route};
use super::socket::Inner;

/// Answers a request. It runs on one of [`Limits::handlers`] threads, so several at once.
pub type Handler = Arc<dyn Fn(&ApiRequest) -> ApiReply + Send + Sync>;

/// Whether the answer to a request may take long.
pub(super) type Slow = Arc<dyn Fn(&ApiRequest) -> bool + Send + Sync>;

/// Who answers, and what whoever listens is told.
pub struct Service {
    pub(super) handler: Handler,
    /// Of what may take long a handler is always left out.
    pub(super) slow: Slow,
    pub(super) events: Option<EventSource>,
}

impl From<Handler> for Service {
    /// One that has no events to tell, and no session at hand.
    fn from(handler: Handler) -> Self {
        let slow: Slow = Arc::new(|request| {
            let query = request.query.as_deref();
            let route = Route::of(request.method, &request.path, query, &Bounds::default());
            route.is_ok_and(|route| route.pace() != Pace::Quick)
        });
        Self { handler, slow, events: None }
    }
}

/// How to start the API.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The bounds of the gate.
    pub limits: Limits,
    /// The names we are called by.
    pub hosts: Hosts,
    /// Where to make the private directory of the Unix socket; by default the first of
    /// `$RUNTIME_DIRECTORY`, else the system's directory of temporary files.
    pub directory: Option<PathBuf>,
    /// The counters to count in, which the handler may read.
    pub counters: Arc<GateCounters>,
}

/// The running API.
pub struct Admin {
    bell: Bell,
    inner: Arc<Inner>,
    gate: Ending,
    handlers: Ending,
    stop_grace: Duration,
}

impl Admin {
    /// Serves `service` on `listeners`. Threads that are pinned hand that on to threads they
    /// start, so this comes before any pinning; and after giving up privileges, because the
    /// directory that is made here is removed at the end.
    ///
    /// # Errors
    /// When the private directory, its socket, the Poll or a thread cannot be made.
    pub fn start(
        listeners: Vec<TcpListener>,
        options: Options,
        service: impl Into<Service>,
    ) -> io::Result<Self> {
        let Service { handler, slow, events } = service.into();
        let Options { limits, hosts, directory, counters } = options;
        let parent = directory.unwrap_or_else(runtime_directory);
        let removed = remove_leftovers(&parent);
        if removed > 0 {
            tracing::info!(
                "removed what {removed} killed processes had left in {}",
                parent.display()
            );
        }
        let threads = limits.handlers.max(1);
        let inner = Arc::new(Inner::new(parent, threads, Arc::clone(&counters))?);
        let house = House { hosts, events };
        let (gate, bell) =
            Gate::new(listeners, Arc::clone(&inner), house, limits, Arc::clone(&counters))?;
        let mut handlers = Ending::new();
        let mut started = Ok(());
        for index in 0..threads {
            let post = Post {
                inner: Arc::clone(&inner),
                handler: Arc::clone(&handler),
                slow: Arc::clone(&slow),
                counters: Arc::clone(&counters),
                body_max: limits.body_max,
            };
            started =
                started.and_then(|()| handlers.start(format!("api-{index}"), move || post.serve()));
        }
        let mut ending = Ending::new();
        let started = started.and_then(|()| ending.start("api-gate".to_owned(), || gate.run()));
        if let Err(error) = started {
            inner.stop();
            handlers.wait(Duration::from_secs(1));
            return Err(error);
        }
        Ok(Self { bell, inner, gate: ending, handlers, stop_grace: limits.stop_grace })
    }

    /// Closes the listeners, lets answers under way be written within [`Limits::stop_grace`], and
    /// ends the threads. `false` if a handler was still at work a second later; its thread is left
    /// to itself.
    pub fn stop(self) -> bool {
        let rung = self.bell.ring().is_ok();
        let gate = rung && self.gate.wait(self.stop_grace + STOP);
        self.inner.stop();
        self.handlers.wait(STOP) && gate
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// Threads, and a channel that closes when the last of them has ended.
struct Ending {
    threads: Vec<JoinHandle<()>>,
    alive: Sender<()>,
    ended: Receiver<()>,
}

impl Ending {
    fn new() -> Self {
        let (alive, ended) = bounded(0);
        Self { threads: Vec::new(), alive, ended }
    }

    fn start(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let alive = self.alive.clone();
        let thread = thread::Builder::new().name(name).spawn(move || {
            work();
            drop(alive);
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Waits until all have ended, at most that long.
    fn wait(self, most: Duration) -> bool {
        drop(self.alive);
        let all =
            self.ended.recv_timeout(most) == Err(crossbeam_channel::RecvTimeoutError::Disconnected);
        for thread in self.threads {
            if all && thread.join().is_err() {
                tracing::error!("a thread of the API panicked");
            }
        }
        all
    }
}

/// What one handler thread works with.
struct Post {
    inner: Arc<Inner>,
    handler: Handler,
    slow: Slow,
    counters: Arc<GateCounters>,
    body_max: usize,
}

impl Post {
    fn serve(&self) {
        while let Some(server) = self.inner.server() {
            // An error means that the server has died or that we were woken to look again.
            if let Ok(request) = server.receive() {
                self.answer(request);
            }
        }
    }

    fn answer(&self, mut request: tiny_http::Request) {
        let _work = self.inner.begin();
        let asked = read(&mut request, self.body_max);
        // Held until the answer has been taken.
        let mut slow = None;
        let reply = match asked {
            Ok(asked) => catch_unwind(AssertUnwindSafe(|| {
                if (self.slow)(&asked) {
                    slow = self.inner.begin_slow();
                    if slow.is_none() {
                        bump(&self.counters.history_busy);
                        return busy();
                    }
                }
                (self.handler)(&asked)
            }))
            .unwrap_or_else(|_| {
                bump(&self.counters.handler_panics);
                ApiReply::problem(500, "the server made a mistake; its log says more")
            }),
            Err(_) => ApiReply::problem(400, "the body could not be read"),
        };
        // A client that has gone is no error of ours, and the gate counts what it wrote.
        request.respond(response(reply)).ok();
        drop(slow);
    }
}

/// The answer to who asks for something that may take long when enough do.
fn busy() -> ApiReply {
    let text =
        "nothing was done: as many requests as may be at once wait for the database or a reload";
    ApiReply::problem(503, text).with_header("Retry-After", "1")
}

fn read(request: &mut tiny_http::Request, body_max: usize) -> io::Result<ApiRequest> {
    let mut body = Vec::new();
    let most = u64::try_from(body_max).unwrap_or(u64::MAX);
    request.as_reader().take(most).read_to_end(&mut body)?;
    let (path, query) = match request.url().split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (request.url(), None),
    };
    Ok(ApiRequest {
        method: Method::of(request.method().as_str()),
        path: path.to_owned(),
        query,
        authorization: header(request, "authorization"),
        origin: header(request, "origin"),
        host: header(request, "host"),
        if_none_match: header(request, "if-none-match"),
        body,
        // The gate always says it. Without it the client is nobody near.
        client: header(request, "x-real-ip")
            .and_then(|text| text.parse().ok())
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    })
}

fn header(request: &tiny_http::Request, name: &'static str) -> Option<String> {
    let header = request.headers().iter().find(|header| header.field.equiv(name))?;
    Some(header.value.as_str().to_owned())
}

fn response(reply: ApiReply) -> tiny_http::Response<io::Cursor<Vec<u8>>> {
    // What is told of sessions is stale at once; a reply that is not says so itself.
    let keeps = reply.headers.iter().any(|(name, _)| *name == "Cache-Control");
    let fixed = [
        ("Content-Type", reply.content_type),
        ("X-Content-Type-Options", "nosniff"),
        ("Server", "rustsocks"),
    ];
    let fixed = fixed.into_iter().chain((!keeps).then_some(("Cache-Control", "no-store")));
    let further = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let headers = fixed
        .chain(further)
        .filter_map(|(name, value)| tiny_http::Header::from_bytes(name, value).ok())
        .collect();
    let length = reply.body.len();
    let status = tiny_http::StatusCode(reply.status);
    tiny_http::Response::new(status, headers, io::Cursor::new(reply.body), Some(length), None)
        // The gate wants to see the length, and no chunks.
        .with_chunked_threshold(usize::MAX)
}

/// systemd lists several directories with colons between.
fn runtime_directory() -> PathBuf {
    env::var_os("RUNTIME_DIRECTORY")
        .and_then(|listed| env::split_paths(&listed).next())
        .filter(|first| first.is_absolute())
        .unwrap_or_else(env::temp_dir)
}

const STOP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;

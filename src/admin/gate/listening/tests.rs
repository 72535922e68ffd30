//! Listeners against the real gate: what a slow one costs, and that it costs nobody else anything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{EVENT_MAX, Listening, any_holds};
use crate::admin::events::{Event, EventSource, EventsQuery, STREAM};
use crate::admin::{Admin, ApiReply, GateCounters, Handler, Limits, Options, Service};
use crate::clock;
use crate::session::{Ending, IdSource, Ledger, Opening, Outcome, SessionView, Share};
use crate::stats::News;

/// A gate whose handler lets everybody listen.
struct World {
    admin: Option<Admin>,
    at: SocketAddr,
    counters: Arc<GateCounters>,
    news: Arc<News>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let (counters, news) = (Arc::new(GateCounters::default()), Arc::new(News::default()));
        let handler: Handler = Arc::new(|request| match request.path.as_str() {
            "/api/events" => ApiReply::text("").with_header(STREAM, "events"),
            _ => ApiReply::text("ok"),
        });
        let events = EventSource {
            news: Arc::clone(&news),
            health: Box::new(|| "{\"status\":\"ok\"}".to_owned()),
            node: "n".to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let options = Options { limits, counters: Arc::clone(&counters), ..Options::default() };
        let service = Service { events: Some(events), ..handler.into() };
        let admin = Some(Admin::start(vec![listener], options, service).unwrap());
        Self { admin, at, counters, news }
    }

    /// A client that listens, with so many octets of room.
    fn listener(&self, room: usize) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(room).unwrap();
        socket.connect(&self.at.into()).unwrap();
        let mut stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream
    }

    fn count(&self, of: impl Fn(&GateCounters) -> u64) -> u64 {
        of(&self.counters)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(admin) = self.admin.take() {
            assert!(admin.stop(), "all threads end, listeners or not");
        }
    }
}

/// A session that has ended.
fn ended() -> SessionView {
    let (ledger, mut share) = (Ledger::new(1), Share::new());
    share.add(ledger.grow().unwrap());
    let opening = Opening {
        id: IdSource::new().next(0),
        start_ms: 0,
        client: ([127, 0, 0, 1], 1).into(),
        user: "u",
        claimed_user: None,
        target: Some(("example.com", 443)),
        command: None,
        ruling: None,
        policy_generation: 1,
        accepted: true,
    };
    let slot = share.open(&opening).unwrap();
    let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
    ledger.view(share.settle(slot, &ending, 0)).unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = clock::mono() + PATIENCE;
    while !holds() {
        assert!(clock::mono() < until, "waited in vain until {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn whoever_takes_nothing_is_cut_and_another_goes_on_hearing() {
    let limits =
        Limits { listener_max: 64 * 1024, write_idle: Duration::from_secs(2), ..Limits::default() };
    let world = World::new(limits);
    let (mute, quick) = (world.listener(2048), world.listener(1 << 20));
    wait_until("both listen", || world.news.followers() == 2);
    let session = ended();
    let heard = thread::spawn(move || {
        let mut lines = BufReader::new(quick).lines().map_while(Result::ok);
        lines.any(|line| line == "event: opened")
    });
    wait_until("the mute one is cut", || {
        // More than any kernel keeps for it.
        (0..200).for_each(|_| world.news.tell(false, session.clone()));
        thread::park_timeout(Duration::from_millis(20));
        world.count(|it| it.listeners_dropped.load(Ordering::Relaxed)) == 1
    });
    assert!(world.count(|it| it.events_missed.load(Ordering::Relaxed)) > 0);
    wait_until("the other has heard what came then", || {
        world.news.tell(true, session.clone());
        heard.is_finished()
    });
    assert!(heard.join().unwrap(), "its stream did not end");
    wait_until("both are forgotten", || world.news.followers() == 0);
    drop(mute);
}

#[test]
fn whoever_falls_behind_is_told_how_much_it_has_missed_and_waits_for_no_event_to_be_told() {
    let limits = Limits {
        listener_max: 8 * 1024,
        listener_hold: Duration::from_millis(1),
        write_idle: PATIENCE,
        ..Limits::default()
    };
    let world = World::new(limits);
    let mut slow = world.listener(2048);
    wait_until("it listens", || world.news.followers() == 1);
    let session = ended();
    let (mut told, mut heard, mut missed) = (0, 0, 0);
    wait_until("some are missed", || {
        // More than any kernel keeps for it.
        (0..500).for_each(|_| world.news.tell(false, session.clone()));
        told += 500;
        world.count(|it| it.events_missed.load(Ordering::Relaxed)) > 0
    });
    // Nothing happens any more.
    let mut lines = BufReader::new(&mut slow).lines().map_while(Result::ok);
    while heard + missed < told {
        let line = lines.next().expect("the stream goes on");
        heard += u64::from(line == "event: closed");
        if let Some(data) = line.strip_prefix("data: {\"count\":") {
            missed += data.trim_end_matches('}').parse::<u64>().unwrap();
        }
        assert!(!line.starts_with("id:"), "nobody can go on from there");
    }
    assert!(heard > 0 && missed > 0, "{heard} heard, {missed} missed");
}

#[test]
fn whoever_keeps_up_hears_all_of_what_comes_at_once() {
    // However late this machine lets it read.
    let limits = Limits { listener_hold: PATIENCE, write_idle: PATIENCE, ..Limits::default() };
    let world = World::new(limits);
    let listener = world.listener(64 * 1024);
    wait_until("it listens", || world.news.followers() == 1);
    let session = ended();
    let heard = thread::spawn(move || {
        let mut lines = BufReader::new(listener).lines().map_while(Result::ok);
        lines.by_ref().filter(|line| line == "event: closed").take(EVENTS).count()
    });
    // Each time what 5 000 sessions a second make between two tellings.
    for _ in 0..EVENTS / 1000 {
        (0..1000).for_each(|_| world.news.tell(false, session.clone()));
        wait_until("they are taken", || world.news.waiting() == 0);
    }
    assert_eq!(heard.join().unwrap(), EVENTS);
    assert_eq!(world.count(|it| it.events_missed.load(Ordering::Relaxed)), 0);
}

const EVENTS: usize = 20_000;

#[test]
fn a_listener_that_leaves_is_noticed_and_one_that_stays_is_kept_company() {
    let limits = Limits { listener_beat: Duration::from_millis(20), ..Limits::default() };
    let world = World::new(limits);
    let mut stays = world.listener(1 << 20);
    let leaves = world.listener(1 << 20);
    wait_until("both listen", || world.news.followers() == 2);
    drop(leaves);
    wait_until("one has left", || world.news.followers() == 1);
    let mut text = String::new();
    let mut octets = [0; 512];
    while text.matches("\n:\n").count() < 3 {
        let count = stays.read(&mut octets).unwrap();
        assert!(count > 0, "it was cut: {text}");
        text.push_str(str::from_utf8(&octets[..count]).unwrap());
    }
    assert!(text.contains("event: health\ndata: {\"status\":\"ok\"}\n\n"), "{text}");
}

#[test]
fn the_time_of_all_who_have_no_room_runs_at_once() {
    let (news, limits) = (Arc::new(News::default()), Limits::default());
    let (now, event) = (clock::mono(), Event::health(&"x".repeat(EVENT_MAX / 2)));
    let mut all: Vec<_> = (0..2)
        .map(|_| {
            Listening::new(EventsQuery::default(), news.follow(), &Event::health(""), now, &limits)
        })
        .collect();
    assert!(!any_holds(all.iter_mut(), now, &limits));
    for listener in &mut all {
        while listener.hear(&event, now, &limits) {}
    }
    assert!(any_holds(all.iter_mut(), now, &limits));
    let over = now + limits.listener_hold;
    assert!(!any_holds(all.iter_mut(), over, &limits), "the second has been waited for, too");
}

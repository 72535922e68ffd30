use std::thread::{self, JoinHandle};

use crossbeam_channel::{Sender, unbounded};
use mio::{Poll, Token, Waker};

use super::*;
use crate::daemon::sandbox::Sandbox;
use crate::daemon::watch::Ending;
use crate::limit::Admission;
use crate::mailbox::{Mailbox, mailbox};
use crate::session::{IdSource, Ledger, Opening, Share, Table, journal};
use crate::stats::{Counters, Minutes, UserSums, Windows};

/// A daemon whose one worker is the test.
struct Scene {
    sender: Sender<Event>,
    events: Receiver<Event>,
    posts: Vec<Post>,
    mailbox: Mailbox,
    shared: Shared,
    _poll: Poll,
}

impl Scene {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let (post, mailbox) = mailbox(Waker::new(poll.registry(), Token(0)).unwrap(), 1);
        let (sender, events) = unbounded();
        let shared = Shared {
            table: Arc::new(Table::new(1)),
            ledger: Arc::new(Ledger::new(1)),
            counters: [Arc::new(Counters::new())].into(),
            admission: Admission::new(1, 2),
            readiness: Arc::default(),
            posts: Arc::default(),
            users: Arc::new(UserSums::new(1)),
            minutes: Arc::new(Minutes::new(1)),
            windows: Arc::new(Windows::new(1, 1)),
            gauges: Arc::default(),
            news: Arc::default(),
            access_tally: Arc::default(),
            in_force: Arc::default(),
            node: String::new(),
            sandbox: Sandbox::none(),
        };
        Self { sender, events, posts: vec![post], mailbox, shared, _poll: poll }
    }

    fn run(&self) -> Result<(), Failure> {
        Running {
            events: &self.events,
            posts: &self.posts,
            shared: &self.shared,
            drain_timeout: Duration::from_secs(3600),
        }
        .until_ended(journal(1).0, Service::new(1))
    }
}

/// A worker that does nothing but end when it is told to; answers with the time it was given.
fn obedient(mailbox: Mailbox, events: Sender<Event>) -> JoinHandle<(Instant, Instant)> {
    thread::spawn(move || {
        let told = loop {
            match mailbox.next() {
                Some(Letter::Drain { until, leave_at }) => break (until, leave_at),
                Some(letter) => panic!("{letter:?}"),
                None => thread::park_timeout(Duration::from_millis(1)),
            }
        };
        events.send(Event::WorkerEnded(0, Ok(()))).unwrap();
        told
    })
}

#[test]
fn a_writer_that_panics_ends_the_process_with_an_error_at_once() {
    let scene = Scene::new();
    let events = scene.sender.clone();
    let writer = thread::spawn(move || {
        let panicked = Event::WriterEnded(Err(io::Error::other("it panicked")));
        let _ending = Ending::new(events, panicked);
        panic!("on purpose");
    });
    assert!(writer.join().is_err());
    let Scene { sender, events, posts, mailbox, shared, .. } = scene;
    let worker = obedient(mailbox, sender);
    let began = clock::mono();
    let drain_timeout = Duration::from_secs(3600);
    let running = Running { events: &events, posts: &posts, shared: &shared, drain_timeout };
    let failure = running.until_ended(journal(1).0, Service::new(1)).unwrap_err();
    assert_eq!(failure.to_string(), "the writer failed: it panicked");
    let (until, leave_at) = worker.join().unwrap();
    assert!(until < began + drain_timeout, "nobody is given the drain's time");
    assert_eq!(until, leave_at, "nobody would take what it waits to send");
}

#[test]
fn a_writer_that_ends_too_early_is_a_failure_even_if_it_says_nothing_is_wrong() {
    let scene = Scene::new();
    scene.sender.send(Event::WriterEnded(Ok(()))).unwrap();
    scene.sender.send(Event::WorkerEnded(0, Ok(()))).unwrap();
    let failure = scene.run().unwrap_err();
    assert!(failure.to_string().contains("the writer failed"), "{failure}");
}

#[test]
fn a_second_signal_gives_up_a_worker_and_a_writer_that_hang() {
    let scene = Scene::new();
    scene.sender.send(Event::Stop).unwrap();
    scene.sender.send(Event::Stop).unwrap();
    let began = clock::mono();
    let failure = scene.run().unwrap_err();
    assert!(failure.to_string().contains("1 workers did not end in time"), "{failure}");
    let Some(Letter::Drain { until: first, .. }) = scene.mailbox.next() else { panic!() };
    let Some(Letter::Drain { until, leave_at }) = scene.mailbox.next() else { panic!() };
    assert!(first >= began + Duration::from_secs(3600));
    assert!(until < first && leave_at < first);
}

#[test]
fn what_is_left_in_the_ledger_at_the_end_is_counted_and_is_a_failure() {
    let scene = Scene::new();
    let mut share = Share::new();
    share.add(scene.shared.ledger.grow().unwrap());
    share.open(&Opening::plain(IdSource::new().next(0))).unwrap();
    for event in [Event::Stop, Event::WorkerEnded(0, Ok(())), Event::WriterEnded(Ok(()))] {
        scene.sender.send(event).unwrap();
    }
    scene.shared.gauges.failed("the disk is full".to_owned());
    let failure = scene.run().unwrap_err();
    assert_eq!(failure.to_string(), "1 sessions could not be stored (the disk is full)");
}

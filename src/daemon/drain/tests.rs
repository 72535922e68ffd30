use std::sync::Arc;

use crossbeam_channel::{Sender, unbounded};
use mio::{Poll, Token, Waker};

use super::*;
use crate::limit::Admission;
use crate::mailbox::{Mailbox, mailbox};
use crate::session::{IdSource, Ledger, Opening, Share, Table};
use crate::stats::{Counters, UserSums};

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
            admission: Admission::new(1),
            readiness: Arc::default(),
            users: Arc::new(UserSums::new(1)),
            gauges: Arc::default(),
            node: String::new(),
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
        .until_ended()
    }
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
    let opening = Opening {
        id: IdSource::new().next(0),
        start_ms: 0,
        client: ([127, 0, 0, 1], 1).into(),
        user: "u",
        claimed_user: None,
        target: None,
        command: None,
        ruling: None,
        policy_generation: 1,
        accepted: true,
    };
    share.open(&opening).unwrap();
    for event in [Event::Stop, Event::WorkerEnded(0, Ok(())), Event::WriterEnded(Ok(()))] {
        scene.sender.send(event).unwrap();
    }
    scene.shared.gauges.failed("the disk is full".to_owned());
    let failure = scene.run().unwrap_err();
    assert_eq!(failure.to_string(), "1 sessions could not be stored (the disk is full)");
}

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use mio::{Poll, Token as PollToken, Waker};

use super::*;
use crate::admin::{Access, Bounds, GateCounters, Method, NotReloaded, Token};
use crate::clock;
use crate::key::Key;
use crate::limit::Admission;
use crate::mailbox::{Letter, Mailbox, mailbox};
use crate::session::{Ending, IdSource, Ledger, Opening, Outcome, SessionSlot, Share, Table};
use crate::stats::{Minutes, Readiness, Windows};

/// An API with one worker, whose mailbox the test reads or leaves.
struct Scene {
    api: Api,
    mailbox: Mailbox,
    share: Share,
    slots: Vec<SessionSlot>,
    _poll: Poll,
}

impl Scene {
    /// With so many live sessions, each a connection of its own.
    fn new(sessions: u32) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), PollToken(0)).unwrap();
        let (post, mailbox) = mailbox(waker, 1);
        let (ledger, table) = (Arc::new(Ledger::new(1)), Arc::new(Table::new(1)));
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let ids = IdSource::new();
        let mut open = |slot: u32| {
            let id = ids.next(0);
            let opened = share.open(&opening(id)).unwrap();
            table.insert(0, id, opened.reference(), Key { slot, generation: 1 });
            opened
        };
        let slots = (0..sessions).map(&mut open).collect();
        let api = Api {
            table,
            ledger,
            workers: Arc::new([]),
            admission: Admission::new(1, 2),
            history: None,
            windows: Arc::new(Windows::new(1, 1)),
            minutes: Arc::new(Minutes::new(1)),
            gauges: Arc::default(),
            news: Arc::default(),
            in_force: Arc::default(),
            reload: Box::new(|_| Err(NotReloaded::Busy("there is nothing to reload".to_owned()))),
            readiness: Arc::new(Readiness::default()),
            node: String::new(),
            records: true,
            started: clock::mono(),
            posts: Arc::new(vec![post].into()),
            access: Access::new(Ok(Token::new("secret").unwrap()), false),
            gate: Arc::new(GateCounters::default()),
            bounds: Bounds::default(),
            #[cfg(feature = "metrics")]
            metrics: None,
        };
        Self { api, mailbox, share, slots, _poll: poll }
    }

    fn id(&self, session: usize) -> SessionId {
        self.slots[session].reference().id().unwrap()
    }

    /// The victims of each letter that waits.
    fn letters(&self) -> Vec<Vec<Victim>> {
        std::iter::from_fn(|| {
            let Letter::Kill { victims, .. } = self.mailbox.next()? else { panic!() };
            Some(victims)
        })
        .collect()
    }
}

fn opening(id: SessionId) -> Opening<'static> {
    Opening { user: "alice", ..Opening::plain(id) }
}

fn request() -> ApiRequest {
    ApiRequest {
        method: Method::Post,
        path: String::new(),
        query: None,
        authorization: None,
        origin: None,
        host: None,
        if_none_match: None,
        body: Vec::new(),
        client: [127, 0, 0, 1].into(),
    }
}

fn alice() -> Filter {
    Filter { user: Some("alice".to_owned()), ..Filter::default() }
}

fn fill(scene: &Scene) {
    let post = &scene.api.posts.get().unwrap()[0];
    while post.kill(Vec::new(), [127, 0, 0, 1].into()).is_ok() {}
}

#[test]
fn many_sessions_are_told_in_portions_and_each_once() {
    let scene = Scene::new(300);
    let reply = scene.api.terminate_all(&request(), &alice());
    assert_eq!((reply.status, reply.body), (202, br#"{"told":300}"#.to_vec()));
    let letters = scene.letters();
    assert!(letters.iter().all(|victims| (1..=VICTIMS_MAX).contains(&victims.len())));
    let mut slots: Vec<_> = letters.concat().iter().map(|victim| victim.key.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_worker_that_takes_no_more_is_a_503_which_is_counted_and_may_be_asked_again() {
    let scene = Scene::new(3);
    fill(&scene);
    assert_eq!(scene.api.terminate(&request(), scene.id(0)).status, 503);
    let reply = scene.api.terminate_all(&request(), &alice());
    assert_eq!(reply.status, 503);
    let text = String::from_utf8(reply.body).unwrap();
    assert!(text.contains("0 sessions were told to end; 3 were not"), "{text}");
    assert_eq!(scene.api.gate.kills_refused.load(Relaxed), 4);
    scene.letters();
    assert_eq!(scene.api.terminate(&request(), scene.id(0)).status, 202);
    let victim = Victim { key: Key { slot: 0, generation: 1 }, id: scene.id(0) };
    assert_eq!(scene.letters(), [[victim]]);
}

#[test]
fn a_session_that_has_ended_and_is_still_listed_is_a_409_and_passes_no_filter() {
    let mut scene = Scene::new(1);
    let id = scene.id(0);
    let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
    scene.share.settle(scene.slots.remove(0), &ending, 1);
    assert_eq!(scene.api.terminate(&request(), id).status, 409);
    let reply = scene.api.terminate_all(&request(), &alice());
    assert_eq!((reply.status, reply.body), (202, br#"{"told":0}"#.to_vec()));
    assert!(scene.letters().is_empty());
}

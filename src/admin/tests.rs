//! An API over sessions that a test opens, without sockets.

use std::sync::Arc;

use mio::{Poll, Token as PollToken, Waker};

use super::{Access, Api, ApiRequest, Bounds, GateCounters, Method, NotReloaded, Token};
use crate::clock;
use crate::key::Key;
use crate::limit::Admission;
use crate::mailbox::{Letter, Mailbox, Victim, mailbox};
use crate::session::{IdSource, Ledger, Opening, SessionId, SessionSlot, Share, Table};
use crate::stats::{Minutes, Readiness, Windows};

/// An API with one worker, whose mailbox the test reads or leaves.
pub(super) struct Scene {
    pub(super) api: Api,
    mailbox: Mailbox,
    pub(super) share: Share,
    pub(super) slots: Vec<SessionSlot>,
    _poll: Poll,
}

impl Scene {
    /// With so many live sessions of alice.
    pub(super) fn alices(sessions: u32) -> Self {
        Self::new(sessions, |_, id| Opening { user: "alice", ..Opening::plain(id) })
    }

    /// With so many live sessions, each a connection of its own.
    pub(super) fn new<'a>(sessions: u32, opening: impl Fn(u32, SessionId) -> Opening<'a>) -> Self {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), PollToken(0)).unwrap();
        let (post, mailbox) = mailbox(waker, 1);
        let (ledger, table) = (Arc::new(Ledger::new(sessions)), Arc::new(Table::new(1)));
        let mut share = Share::new();
        let ids = IdSource::new();
        let mut open = |slot: u32| {
            let id = ids.next(0);
            if share.free_len() == 0 {
                share.add(ledger.grow().unwrap());
            }
            let opened = share.open(&opening(slot, id)).unwrap();
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

    pub(super) fn id(&self, session: usize) -> SessionId {
        self.slots[session].reference().id().unwrap()
    }

    /// The victims of each letter that waits.
    pub(super) fn letters(&self) -> Vec<Vec<Victim>> {
        std::iter::from_fn(|| {
            let Letter::Kill { victims, .. } = self.mailbox.next()? else { panic!() };
            Some(victims)
        })
        .collect()
    }
}

/// A request as a test's own client sends it.
pub(super) fn request() -> ApiRequest {
    ApiRequest {
        method: Method::Get,
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

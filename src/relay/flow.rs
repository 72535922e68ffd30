//! One direction of a relay: who may read, who must write, and how it ends. Pure.
//!
//! A source that ends by FIN and one that ends by an error both let the flow drain first; they
//! differ in what follows, so the difference is one flag (`cut`) and not another state.

use super::held::Held;
use super::pace::Pace;

/// One direction. The picture stands at the head of the folder.
pub(crate) struct Flow {
    state: State,
    /// The source's connection is lost: no FIN is passed on when the rest has been delivered.
    cut: bool,
    /// What the sink refused.
    held: Option<Held>,
    /// Which carrier pays.
    pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The source may have more.
    Open,
    /// The source has ended; what is held has not been delivered, or not the FIN.
    Draining,
    /// The FIN has been passed on.
    Finished,
    /// Over without FIN.
    Broken,
}

/// What a flow needs done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write what is held. While there is something, the source is not read.
    Write,
    /// Read the source.
    Read,
    /// Pass the FIN on.
    ShutDown,
    /// Nothing, ever.
    Over,
}

impl Flow {
    /// A flow that has `held` to deliver before anything it reads.
    pub(crate) fn new(held: Option<Held>) -> Self {
        Self { state: State::Open, cut: false, held, pace: Pace::default() }
    }

    pub(crate) fn step(&self) -> Step {
        match (self.state, &self.held) {
            (State::Finished | State::Broken, _) => Step::Over,
            (State::Open | State::Draining, Some(_)) => Step::Write,
            (State::Open, None) => Step::Read,
            (State::Draining, None) => Step::ShutDown,
        }
    }

    /// A portion of `octets` has come; there was room for `room`.
    pub(crate) fn came(&mut self, octets: usize, room: usize) {
        self.pace.came(octets, room);
    }

    /// Whether a pipe pays for this direction.
    pub(crate) const fn is_heavy(&self) -> bool {
        self.pace.is_heavy()
    }

    /// Lends what is held to whoever delivers it; what is left comes back by [`Flow::put_back`].
    pub(crate) fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// What the sink did not take, of what was held or has just been read.
    pub(crate) fn put_back(&mut self, rest: Option<Held>) {
        debug_assert!(self.held.is_none(), "the source is not read while something is held");
        self.held = rest;
        self.settle();
    }

    /// EOF at the source.
    pub(crate) fn source_closed(&mut self) {
        if self.state == State::Open {
            self.state = State::Draining;
        }
        self.settle();
    }

    /// The source has failed, and there is nothing more to read from it.
    pub(crate) fn source_broke(&mut self) {
        self.cut = true;
        self.source_closed();
    }

    /// The source's connection is known to be lost, but what it had received before may still be
    /// read: its end will be no FIN, whatever `read` calls it.
    pub(crate) fn source_lost(&mut self) {
        self.cut = true;
        self.settle();
    }

    /// The FIN was passed on.
    pub(crate) fn shut_down(&mut self) {
        debug_assert_eq!(self.step(), Step::ShutDown);
        self.state = State::Finished;
    }

    /// The sink takes no more; what was held for it is lost, and given to the caller to discard.
    #[must_use]
    pub(crate) fn sink_broke(&mut self) -> Option<Held> {
        if self.state != State::Finished {
            self.state = State::Broken;
        }
        self.held.take()
    }

    /// The source has ended, one way or the other.
    pub(crate) fn has_source_ended(&self) -> bool {
        self.state != State::Open
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Finished | State::Broken)
    }

    /// Octets read and not delivered.
    pub(crate) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, Held::len)
    }

    fn settle(&mut self) {
        if self.cut && self.state == State::Draining && self.held.is_none() {
            self.state = State::Broken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::stash::{Stash, StashPool};

    #[test]
    fn a_fin_is_passed_on_after_what_is_held_and_only_then() {
        let mut pool = StashPool::new();
        let mut flow = Flow::new(kept(b"early", &mut pool));
        assert_eq!(flow.step(), Step::Write);
        flow.source_closed();
        assert_eq!(flow.step(), Step::Write);
        flow.sinks_all();
        assert_eq!(flow.step(), Step::ShutDown);
        flow.shut_down();
        assert_eq!(flow.step(), Step::Over);
        assert!(flow.is_finished());
    }

    #[test]
    fn a_cut_flow_delivers_and_then_ends_without_fin() {
        let mut pool = StashPool::new();
        let mut flow = Flow::new(kept(b"rest", &mut pool));
        flow.source_broke();
        assert_eq!(flow.step(), Step::Write);
        flow.sinks_all();
        assert!(flow.is_over() && !flow.is_finished());
    }

    #[test]
    fn a_lost_source_is_read_to_its_end_and_its_eof_is_no_fin() {
        let mut flow = Flow::new(None);
        flow.source_lost();
        assert_eq!(flow.step(), Step::Read);
        flow.source_closed();
        assert!(flow.is_over() && !flow.is_finished());
    }

    #[test]
    fn a_broken_sink_ends_the_flow_and_gives_out_what_was_held() {
        let mut pool = StashPool::new();
        let mut flow = Flow::new(kept(b"lost", &mut pool));
        let lost = flow.sink_broke().unwrap();
        assert!(flow.is_over() && !flow.is_finished());
        assert_eq!((flow.held(), lost.len()), (0, 4));
    }

    #[test]
    fn what_has_finished_cannot_break() {
        let mut flow = Flow::new(None);
        flow.source_closed();
        flow.shut_down();
        flow.source_broke();
        assert!(flow.sink_broke().is_none());
        assert!(flow.is_finished());
    }

    fn kept(octets: &[u8], pool: &mut StashPool) -> Option<Held> {
        Stash::keep(octets, pool).map(Held::Stash)
    }

    impl Flow {
        fn sinks_all(&mut self) {
            assert!(self.take_held().is_some());
            self.put_back(None);
        }
    }
}

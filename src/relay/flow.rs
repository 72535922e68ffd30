//! One direction of a relay: who may read, who must write, and how it ends. Pure.
//!
//! A source that ends by FIN and one that ends by an error both let the flow drain first; they
//! differ in what follows, so the difference is one flag (`cut`) and not another state.

use super::stash::{Stash, StashPool};

/// One direction. The picture stands at the head of the folder.
pub(crate) struct Flow {
    state: State,
    /// The source's connection is lost: no FIN is passed on when the rest has been delivered.
    cut: bool,
    /// What the sink refused. A carrier inside the kernel would hold its pipe in this place.
    stash: Option<Stash>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The source may have more.
    Open,
    /// The source has ended; the stash has not been delivered, or not the FIN.
    Draining,
    /// The FIN has been passed on.
    Finished,
    /// Over without FIN.
    Broken,
}

/// What a flow needs done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write the stash. While there is one, the source is not read.
    Write,
    /// Read the source.
    Read,
    /// Pass the FIN on.
    ShutDown,
    /// Nothing, ever.
    Over,
}

impl Flow {
    /// A flow that has `stash` to deliver before anything it reads.
    pub(crate) fn new(stash: Option<Stash>) -> Self {
        Self { state: State::Open, cut: false, stash }
    }

    pub(crate) fn step(&self) -> Step {
        match (self.state, &self.stash) {
            (State::Finished | State::Broken, _) => Step::Over,
            (State::Open | State::Draining, Some(_)) => Step::Write,
            (State::Open, None) => Step::Read,
            (State::Draining, None) => Step::ShutDown,
        }
    }

    /// The sink refused this much of what was just read.
    pub(crate) fn refused(&mut self, stash: Option<Stash>) {
        debug_assert!(self.stash.is_none(), "the source is not read while something is stashed");
        self.stash = stash;
    }

    /// Lends the stash to whoever delivers it; what is left comes back by [`Flow::put_back`].
    pub(crate) fn take_stash(&mut self) -> Option<Stash> {
        self.stash.take()
    }

    /// What is left of the stash after a delivery.
    pub(crate) fn put_back(&mut self, rest: Option<Stash>) {
        self.stash = rest;
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

    /// The sink takes no more; what is stashed for it is lost.
    pub(crate) fn sink_broke(&mut self, pool: &mut StashPool) {
        self.release(pool);
        if self.state != State::Finished {
            self.state = State::Broken;
        }
    }

    /// Gives up what is stashed.
    pub(crate) fn release(&mut self, pool: &mut StashPool) {
        if let Some(stash) = self.stash.take() {
            stash.release(pool);
        }
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
    pub(crate) fn stashed(&self) -> usize {
        self.stash.as_ref().map_or(0, Stash::len)
    }

    fn settle(&mut self) {
        if self.cut && self.state == State::Draining && self.stash.is_none() {
            self.state = State::Broken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fin_is_passed_on_after_the_stash_and_only_then() {
        let mut pool = StashPool::new();
        let mut flow = Flow::new(Stash::keep(b"early", &mut pool));
        assert_eq!(flow.step(), Step::Write);
        flow.source_closed();
        assert_eq!(flow.step(), Step::Write);
        flow.sinks_all(&mut pool);
        assert_eq!(flow.step(), Step::ShutDown);
        flow.shut_down();
        assert_eq!(flow.step(), Step::Over);
        assert!(flow.is_finished());
    }

    #[test]
    fn a_cut_flow_delivers_and_then_ends_without_fin() {
        let mut pool = StashPool::new();
        let mut flow = Flow::new(Stash::keep(b"rest", &mut pool));
        flow.source_broke();
        assert_eq!(flow.step(), Step::Write);
        flow.sinks_all(&mut pool);
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
    fn a_broken_sink_ends_the_flow_and_frees_its_blocks() {
        let mut pool = StashPool::new();
        let mut flow = Flow::new(Stash::keep(b"lost", &mut pool));
        flow.sink_broke(&mut pool);
        assert!(flow.is_over() && !flow.is_finished());
        assert_eq!((flow.stashed(), pool.lent()), (0, 0));
    }

    #[test]
    fn what_has_finished_cannot_break() {
        let mut flow = Flow::new(None);
        flow.source_closed();
        flow.shut_down();
        flow.source_broke();
        flow.sink_broke(&mut StashPool::new());
        assert!(flow.is_finished());
    }

    impl Flow {
        fn sinks_all(&mut self, pool: &mut StashPool) {
            self.take_stash().unwrap().release(pool);
            self.put_back(None);
        }
    }
}

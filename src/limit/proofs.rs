//! Connections of the process to itself, by which it proves at its start that it asks for logins. They
//! are no attempts of a client: nothing records or counts them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Where those that are under way come from. Costs one load where it is asked, once the start is over.
#[derive(Debug, Default)]
pub struct Proofs {
    awaited: AtomicBool,
    under_way: AtomicBool,
    sources: Mutex<Vec<SocketAddr>>,
}

impl Proofs {
    /// They are to come: till they are over nobody else is served.
    pub fn announce(&self) {
        self.awaited.store(true, Ordering::Release);
    }

    /// Whether they are not over yet.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire)
    }

    /// Whether whoever comes from there has to wait for their end.
    #[must_use]
    pub fn keeps_waiting(&self, source: SocketAddr) -> bool {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        self.is_awaited() && !self.holds(source)
    }

    /// One is about to be made from this socket of ours.
    pub fn begin(&self, source: SocketAddr) {
        self.sources.lock().push(source);
        self.under_way.store(true, Ordering::Release);
    }

    /// All of them are over: whoever comes from one of their ports from now on is a client.
    pub fn end(&self) {
        self.under_way.store(false, Ordering::Release);
        self.awaited.store(false, Ordering::Release);
        self.sources.lock().clear();
    }

    /// Whether a connection from there is one of them.
    #[must_use]
    pub fn holds(&self, source: SocketAddr) -> bool {
        self.under_way.load(Ordering::Acquire) && self.sources.lock().contains(&source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_expected_is_a_proof_and_only_until_the_end() {
        let (ours, other) = ("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:4001".parse().unwrap());
        let proofs = Proofs::default();
        assert!(!proofs.holds(ours));
        proofs.begin(ours);
        assert!(proofs.holds(ours) && !proofs.holds(other));
        proofs.end();
        assert!(!proofs.holds(ours));
    }

    #[test]
    fn until_they_are_over_all_others_wait() {
        let (ours, other) = ("127.0.0.1:4000".parse().unwrap(), "127.0.0.1:4001".parse().unwrap());
        let proofs = Proofs::default();
        proofs.begin(ours);
        assert!(!proofs.keeps_waiting(other), "nobody said so");
        proofs.announce();
        assert!(proofs.keeps_waiting(other) && !proofs.keeps_waiting(ours));
        assert!(!proofs.keeps_waiting("[::ffff:127.0.0.1]:4000".parse().unwrap()));
        proofs.end();
        assert!(!proofs.is_awaited() && !proofs.keeps_waiting(other));
    }
}

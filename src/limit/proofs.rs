//! Connections of the process to itself, by which it proves at its start that it asks for logins. They
//! are no attempts of a client: nothing records or counts them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Where those that are under way come from. Costs one load where it is asked, once the start is over.
#[derive(Debug, Default)]
pub struct Proofs {
    under_way: AtomicBool,
    sources: Mutex<Vec<SocketAddr>>,
}

impl Proofs {
    /// One is about to be made from this socket of ours.
    pub fn begin(&self, source: SocketAddr) {
        self.sources.lock().push(source);
        self.under_way.store(true, Ordering::Release);
    }

    /// All of them are over: whoever comes from one of their ports from now on is a client.
    pub fn end(&self) {
        self.under_way.store(false, Ordering::Release);
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
}

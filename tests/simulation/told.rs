//! What happened in a world.

use std::collections::BTreeMap;
use std::fmt;

use rustsocks::session::Outcome;

/// What happened, so that nobody believes a simulation in which nothing does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) worlds: u64,
    pub(crate) turns: u64,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    pub(crate) octets: u64,
    pub(crate) datagrams: u64,
    pub(crate) commits: u64,
    pub(crate) failed_commits: u64,
    pub(crate) checkpoints: u64,
    pub(crate) openings_left_out: u64,
    pub(crate) backlog: u64,
    pub(crate) stale: u64,
    pub(crate) sockets_refused: u64,
    /// Turns of sessions that had waited for them.
    pub(crate) turns_taken: u64,
}

impl Told {
    pub(crate) fn add(&mut self, world: &Self) {
        self.worlds += world.worlds;
        self.turns += world.turns;
        for (outcome, count) in &world.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.octets += world.octets;
        self.datagrams += world.datagrams;
        self.commits += world.commits;
        self.failed_commits += world.failed_commits;
        self.checkpoints += world.checkpoints;
        self.openings_left_out += world.openings_left_out;
        self.backlog += world.backlog;
        self.stale += world.stale;
        self.sockets_refused += world.sockets_refused;
        self.turns_taken += world.turns_taken;
    }

    /// Every ending that the machines and passages know, and every trouble.
    pub(crate) fn assert_everything_happened(&self) {
        // What only a worker, an operator's rules or a crash can bring about.
        let elsewhere = ["banned", "crash", "internal_error"];
        for outcome in Outcome::ALL {
            let code = outcome.close_code();
            let seen = self.outcomes.contains_key(code);
            assert_eq!(seen, !elsewhere.contains(&code), "{code} in {self}");
        }
        for (what, count) in [
            ("datagrams", self.datagrams),
            ("failed commits", self.failed_commits),
            ("checkpoints", self.checkpoints),
            ("openings left out", self.openings_left_out),
            ("endings that waited for room", self.backlog),
            ("stale answers", self.stale),
            ("sockets refused", self.sockets_refused),
            ("turns that were waited for", self.turns_taken),
        ] {
            assert!(count > 0, "there were no {what}: {self}");
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} worlds, {} turns, {} sessions, {} octets, {} datagrams, {} commits ({} failed), {} \
             checkpoints, {} openings left out, {} endings delayed, {} stale answers, {} turns waited for; endings: {:?}",
            self.worlds,
            self.turns,
            self.outcomes.values().sum::<u64>(),
            self.octets,
            self.datagrams,
            self.commits,
            self.failed_commits,
            self.checkpoints,
            self.openings_left_out,
            self.backlog,
            self.stale,
            self.turns_taken,
            self.outcomes,
        )
    }
}

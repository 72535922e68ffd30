//! Sums per user for the metrics: bounded in series, exact in sum.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::session::Traffic;

/// What one user, or all others together, has used since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserSum {
    /// Accepted sessions.
    pub sessions: u64,
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
}

/// The sums of all users, fed by the writer alone. The first `users_max` names have a series of
/// their own, so a series never changes its meaning; whoever comes later counts in `_other`.
#[derive(Debug)]
pub struct UserSums {
    sums: Mutex<BTreeMap<Box<str>, UserSum>>,
    users_max: usize,
}

impl UserSums {
    /// No sums yet.
    #[must_use]
    pub fn new(users_max: usize) -> Self {
        Self { sums: Mutex::default(), users_max }
    }

    /// Adds what a user's session has used since it was last added; `first` for its first time.
    pub fn add(&self, user: &str, first: bool, traffic: &Traffic) {
        let mut sums = self.sums.lock();
        let named = if user == OTHER { self.users_max } else { sums.len() };
        let sum = match sums.get_mut(user) {
            Some(sum) => sum,
            None if named < self.users_max => sums.entry(user.into()).or_default(),
            None => sums.entry(OTHER.into()).or_default(),
        };
        sum.sessions += u64::from(first);
        sum.bytes_sent += traffic.bytes_sent;
        sum.bytes_received += traffic.bytes_received;
    }

    /// All sums, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(Box<str>, UserSum)> {
        self.sums.lock().iter().map(|(user, sum)| (user.clone(), *sum)).collect()
    }
}

/// The series of those who have none of their own.
pub const OTHER: &str = "_other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_bounded_and_the_sum_is_exact() {
        let sums = UserSums::new(2);
        let traffic = Traffic { bytes_sent: 1, bytes_received: 10, ..Traffic::default() };
        for user in ["a", "b", "c", "a", "d", "_other", "c"] {
            sums.add(user, true, &traffic);
        }
        let snapshot = sums.snapshot();
        let names: Vec<_> = snapshot.iter().map(|(user, sum)| (&**user, sum.sessions)).collect();
        assert_eq!(names, [("_other", 4), ("a", 2), ("b", 1)]);
        assert_eq!(snapshot.iter().map(|(_, sum)| sum.bytes_received).sum::<u64>(), 70);
        sums.add("a", false, &traffic);
        assert_eq!(sums.snapshot()[1].1.sessions, 2);
    }
}

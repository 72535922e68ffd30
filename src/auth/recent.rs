//! The verdict cache: a client that has just logged in need not wait for another slow hash.
//!
//! A hit logs somebody in, so what it is looked up by must be as hard to forge as the password: a
//! keyed BLAKE2 digest of name and password (RFC 7693 §2.9), whose key is drawn at random and
//! never leaves the worker. Only accepted logins are kept; a wrong password is slow every time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};

use super::credentials::Credentials;
use super::identity::Identity;

/// What a login is remembered under.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecentKey([u8; 32]);

/// The logins of the last minute.
pub struct Recent {
    key: Option<[u8; 32]>,
    accepted: HashMap<RecentKey, (Identity, Instant)>,
}

impl Recent {
    /// An empty cache with a key of its own. Without randomness it stays empty.
    #[must_use]
    pub fn new() -> Self {
        let mut key = [0; 32];
        let key = getrandom::fill(&mut key).is_ok().then_some(key);
        Self { key, accepted: HashMap::new() }
    }

    /// What this login would be remembered under.
    #[must_use]
    pub fn key(&self, credentials: &Credentials) -> RecentKey {
        let mut digest = [0; 32];
        if let Some(key) = &self.key
            && let Ok(mut mac) = Blake2sMac256::new_from_slice(key)
        {
            // The length in front keeps name and password apart.
            mac.update(&(credentials.username().len() as u64).to_le_bytes());
            mac.update(credentials.username());
            mac.update(credentials.password());
            digest = mac.finalize().into_bytes().into();
        }
        RecentKey(digest)
    }

    /// Who logged in like this within the last [`KEPT_FOR`].
    #[must_use]
    pub fn get(&self, key: &RecentKey, now: Instant) -> Option<Identity> {
        let (identity, until) = self.accepted.get(key)?;
        (now < *until).then(|| identity.clone())
    }

    /// Remembers a login that was accepted.
    pub fn put(&mut self, key: RecentKey, identity: Identity, now: Instant) {
        if self.key.is_none() {
            return;
        }
        if self.accepted.len() >= LOGINS_MAX {
            self.accepted.retain(|_, (_, until)| now < *until);
        }
        if self.accepted.len() < LOGINS_MAX {
            self.accepted.insert(key, (identity, now + KEPT_FOR));
        }
    }

    /// Forgets all, as a change of users demands.
    pub fn clear(&mut self) {
        self.accepted.clear();
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for RecentKey {
    /// Nothing of the digest.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecentKey(…)")
    }
}

/// How long a login is remembered.
pub const KEPT_FOR: Duration = Duration::from_mins(1);
/// Logins that a worker remembers at most.
pub const LOGINS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::clock;

    fn credentials(name: &str, password: &str) -> Credentials {
        Credentials::new(name.as_bytes().into(), Zeroizing::new(password.as_bytes().to_vec()))
    }

    #[test]
    fn a_login_is_known_for_a_minute_and_only_with_the_same_name_and_password() {
        let mut recent = Recent::new();
        let now = clock::mono();
        let key = recent.key(&credentials("alice", "secret"));
        assert_eq!(recent.get(&key, now), None);
        recent.put(key, Identity::anonymous("alice"), now);
        assert!(recent.get(&recent.key(&credentials("alice", "secret")), now).is_some());
        for (name, password) in [("alice", "secreT"), ("alices", "ecret"), ("alic", "esecret")] {
            assert_eq!(recent.get(&recent.key(&credentials(name, password)), now), None);
        }
        assert_eq!(recent.get(&key, now + KEPT_FOR), None);
        recent.clear();
        assert_eq!(recent.get(&key, now), None);
    }

    #[test]
    fn the_bound_holds_and_old_logins_make_room() {
        let mut recent = Recent::new();
        let now = clock::mono();
        for number in 0..=LOGINS_MAX {
            let key = recent.key(&credentials(&number.to_string(), ""));
            recent.put(key, Identity::anonymous("x"), now);
        }
        assert_eq!(recent.accepted.len(), LOGINS_MAX);
        let late = recent.key(&credentials("late", ""));
        recent.put(late, Identity::anonymous("late"), now + KEPT_FOR);
        assert!(recent.get(&late, now + KEPT_FOR).is_some());
    }

    #[test]
    fn two_workers_have_different_keys() {
        let login = credentials("alice", "secret");
        assert_ne!(Recent::new().key(&login), Recent::new().key(&login));
    }
}

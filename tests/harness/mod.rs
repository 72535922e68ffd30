//! What end-to-end tests are made of: the real binary in a temporary directory, clients that speak
//! SOCKS octet by octet, and origins that count.

#![allow(dead_code, reason = "each test file uses its part of it")]

pub(crate) mod api;
pub(crate) mod client;
pub(crate) mod command;
pub(crate) mod datagrams;
pub(crate) mod nginx;
pub(crate) mod origin;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod scrape;

use std::time::{Duration, Instant};

/// Waits until `condition` gives something.
///
/// # Panics
/// When it has not within 20 s; says what was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A number from the environment: how much of something a test does, where less is done by default.
pub(crate) fn size(variable: &str, otherwise: usize) -> usize {
    let Ok(text) = std::env::var(variable) else { return otherwise };
    text.parse().unwrap_or_else(|error| panic!("{variable} = {text}: {error}"))
}

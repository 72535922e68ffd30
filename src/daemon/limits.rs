//! How many connections the descriptors allow.

use crate::linux::nofile::NofileLimit;

/// The bound on connections in all: what was configured, or what the descriptors allow if that is
/// less.
pub(super) fn connections_max(configured: u32, nofile: &NofileLimit, workers: usize) -> u32 {
    let fixed = FIXED + PER_WORKER * workers as u64 + PER_API_CONNECTION * API_CONNECTIONS_MAX;
    let left = nofile.soft.saturating_sub(fixed);
    let allowed = left / PER_CONNECTION;
    configured.min(u32::try_from(allowed).unwrap_or(u32::MAX)).max(1)
}

/// Descriptors of the process itself: standard streams, database, locks, and some to spare.
const FIXED: u64 = 64;
/// Of each worker: poll, waker, listeners, reserve, resolver.
const PER_WORKER: u64 = 24;
/// Of each connection of the API: the client's, and both ends of the one behind the gate.
const PER_API_CONNECTION: u64 = 4;
/// Connections that the API has at most.
const API_CONNECTIONS_MAX: u64 = 32;
/// At worst: the client's socket and two attempts.
const PER_CONNECTION: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn nofile(soft: u64) -> NofileLimit {
        NofileLimit { soft, hard: soft }
    }

    #[test]
    fn the_configured_bound_holds_where_descriptors_are_plenty() {
        assert_eq!(connections_max(10_000, &nofile(1 << 20), 2), 10_000);
    }

    #[test]
    fn descriptors_lower_it_but_never_to_nothing() {
        let allowed = connections_max(10_000, &nofile(1024), 2);
        assert!((1..300).contains(&allowed), "{allowed}");
        assert_eq!(connections_max(10_000, &nofile(100), 2), 1);
    }
}

//! How many connections the descriptors allow.

use crate::linux::nofile::NofileLimit;

/// What needs descriptors beside connections.
pub(super) struct Others {
    pub(super) workers: usize,
    /// Addresses that each worker listens on.
    pub(super) listeners: usize,
    /// Descriptors of all resolvers.
    pub(super) resolvers: usize,
    /// Whether connections may be associations.
    pub(super) datagrams: bool,
}

/// The bound on connections in all: what was configured, or what the descriptors allow if that is
/// less.
pub(super) fn connections_max(configured: u32, nofile: &NofileLimit, others: &Others) -> u32 {
    let Others { workers, listeners, resolvers, datagrams } = others;
    let fixed = FIXED
        + (workers * (PER_WORKER + listeners)) as u64
        + *resolvers as u64
        + PER_API_CONNECTION * API_CONNECTIONS_MAX;
    let left = nofile.soft.saturating_sub(fixed);
    let allowed = left / if *datagrams { PER_ASSOCIATION } else { PER_CONNECTION };
    configured.min(u32::try_from(allowed).unwrap_or(u32::MAX)).max(1)
}

/// Descriptors of the process itself: standard streams, database, ledger, locks, the API's own, and
/// some to spare.
const FIXED: u64 = 64;
/// Of each worker: its poll, a second handle on it for its connections and one for its resolver, the
/// waker, the reserve.
const PER_WORKER: usize = 5;
/// Of each connection of the API: the client's, and both ends of the one behind the gate.
const PER_API_CONNECTION: u64 = 4;
/// Connections that the API has at most.
const API_CONNECTIONS_MAX: u64 = 32;
/// At worst: the client's socket and two attempts.
const PER_CONNECTION: u64 = 3;
/// At worst: the client's socket, the one for its datagrams, and one towards targets per family.
const PER_ASSOCIATION: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn nofile(soft: u64) -> NofileLimit {
        NofileLimit { soft, hard: soft }
    }

    fn others(workers: usize, listeners: usize, resolvers: usize) -> Others {
        Others { workers, listeners, resolvers, datagrams: false }
    }

    #[test]
    fn the_configured_bound_holds_where_descriptors_are_plenty() {
        assert_eq!(connections_max(10_000, &nofile(1 << 20), &others(2, 1, 170)), 10_000);
    }

    #[test]
    fn descriptors_lower_it_but_never_to_nothing() {
        let allowed = connections_max(10_000, &nofile(1024), &others(2, 1, 0));
        assert!((1..300).contains(&allowed), "{allowed}");
        assert_eq!(connections_max(10_000, &nofile(100), &others(2, 1, 170)), 1);
    }

    #[test]
    fn each_listener_and_each_socket_of_a_resolver_is_one_less() {
        let allowed = |others| connections_max(10_000, &nofile(2048), &others);
        let bare = allowed(others(4, 0, 0));
        // Three descriptors are a connection.
        assert_eq!(allowed(others(4, 3, 0)), bare - 4);
        assert_eq!(allowed(others(4, 0, 300)), bare - 100);
        let datagrams = allowed(Others { datagrams: true, ..others(4, 0, 0) });
        assert_eq!(datagrams, bare * 3 / 4);
    }

    #[cfg(feature = "dns-cares")]
    #[test]
    fn a_resolver_with_all_its_questions_in_flight_is_counted_whole() {
        use crate::resolve::{Cares, IN_FLIGHT_MAX};
        // Two queries per question, at most a hundred of them from one port.
        let ports = 2 * IN_FLIGHT_MAX / 100;
        assert!(Cares::descriptors_max(1) > ports);
        assert_eq!(Cares::descriptors_max(3) - Cares::descriptors_max(1), 4);
    }
}

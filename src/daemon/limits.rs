//! How many sockets the descriptors allow connections to have.

use crate::linux::nofile::NofileLimit;

/// What needs descriptors beside connections.
pub(super) struct Others {
    pub(super) workers: usize,
    /// Pipes that each worker may have.
    pub(super) pipes: usize,
    /// Addresses that each worker listens on.
    pub(super) listeners: usize,
    /// Descriptors of all resolvers.
    pub(super) resolvers: usize,
    /// Descriptors of the modules that the host is asked by about logins.
    pub(super) modules: usize,
}

/// The bound on the sockets of all connections: what the process itself may need at worst is kept
/// from them. Where the limit is so low that this would be most of it they get half: the process
/// seldom needs its worst, and whatever it cannot open then it tries again.
pub(super) fn sockets_max(nofile: &NofileLimit, others: &Others) -> u32 {
    let Others { workers, pipes, listeners, resolvers, modules } = others;
    let own = FIXED
        + (workers * (PER_WORKER + listeners + PER_PIPE * pipes)) as u64
        + (resolvers + modules) as u64
        + PER_API_CONNECTION * API_CONNECTIONS_MAX;
    let left = nofile.soft - own.min(nofile.soft / 2);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// Sockets of a session that is relayed: the client's and the target's.
pub(super) const PER_RELAY: u32 = 2;
/// Pipes that each worker may have for relaying inside the kernel. They are lent for one transfer at a
/// time and kept only where a sink is stalled, so a few serve very many sessions; what finds none is
/// copied.
pub(super) fn pipes_max(nofile: &NofileLimit, workers: usize) -> usize {
    let part = nofile.soft / PIPES_PART / PER_PIPE as u64 / workers.max(1) as u64;
    usize::try_from(part).unwrap_or(usize::MAX).clamp(1, PIPES_PER_WORKER_MAX)
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
/// Both of its ends.
const PER_PIPE: usize = 2;
/// Pipes have one of so many descriptors, at most.
const PIPES_PART: u64 = 16;
/// And not more than this: 32 MiB of pipes, half of what the kernel lets a user have without privilege.
const PIPES_PER_WORKER_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(soft: u64, workers: usize, listeners: usize, resolvers: usize) -> u32 {
        let nofile = NofileLimit { soft, hard: soft };
        sockets_max(&nofile, &Others { workers, pipes: 0, listeners, resolvers, modules: 0 })
    }

    #[test]
    fn whatever_the_process_does_not_need_is_for_connections() {
        let bare = allowed(20_000, 2, 1, 0);
        assert!((19_750..20_000).contains(&bare), "{bare}");
        assert_eq!(allowed(20_000, 2, 4, 0), bare - 6);
        assert_eq!(allowed(20_000, 2, 1, 300), bare - 300);
        assert_eq!(allowed(u64::MAX, 2, 1, 300), u32::MAX);
    }

    #[test]
    fn a_low_limit_is_shared_with_the_process() {
        assert_eq!(allowed(256, 2, 1, 170), 128);
        assert_eq!(allowed(0, 2, 1, 170), 0);
    }

    #[test]
    fn pipes_take_a_small_part_of_the_descriptors_and_are_bounded() {
        let nofile = |soft| NofileLimit { soft, hard: soft };
        assert_eq!(pipes_max(&nofile(1024), 1), 32);
        assert_eq!(pipes_max(&nofile(1024), 4), 8);
        assert_eq!(pipes_max(&nofile(64), 16), 1);
        assert_eq!(pipes_max(&nofile(u64::MAX), 16), PIPES_PER_WORKER_MAX);
        let others = |pipes| Others { workers: 2, pipes, listeners: 1, resolvers: 0, modules: 0 };
        let (none, some) = (others(0), others(3));
        assert_eq!(sockets_max(&nofile(2048), &none) - sockets_max(&nofile(2048), &some), 12);
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

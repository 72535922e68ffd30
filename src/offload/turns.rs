//! Who is next: jobs that wait, of whoever they are, so that nobody waits for all that somebody else wants.
//!
//! Networks take turns, in each of them those within it, and in those the clients: whoever comes anew is
//! served before most of those who wait for their next, and whoever has a whole network to come from takes
//! the turns of one. [`Waiters`] has the picture.
//!
//! All together have a bound. Where it is reached, the last one of the heaviest network goes for one of a
//! clearly lighter one: whoever fills the room takes it from himself.

use std::net::IpAddr;

use super::waiters::Waiters;
use super::width::Width;

/// Jobs that wait.
#[derive(Debug)]
pub(super) struct Turns<J> {
    waiters: Waiters<J>,
    waiting_max: usize,
}

/// What became of a job that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came<J> {
    /// It waits.
    In,
    /// It waits, and this one of somebody else does no longer.
    For(J),
    /// There is no room for it.
    Full(J),
}

impl<J> Turns<J> {
    pub(super) fn new(waiting_max: usize) -> Self {
        Self { waiters: Waiters::new(Width::Provider), waiting_max }
    }

    /// How many wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiters.waiting()
    }

    /// A job comes, which is of whoever has this address.
    pub(super) fn put(&mut self, whose: IpAddr, job: J) -> Came<J> {
        let mut came = Came::In;
        if self.waiters.waiting() >= self.waiting_max {
            match self.waiters.make_room(whose) {
                Some(other) => came = Came::For(other),
                None => return Came::Full(job),
            }
        }
        self.waiters.add(whose, job);
        came
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<J> {
        self.waiters.next()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet, VecDeque};

    use super::*;

    fn client(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn put(turns: &mut Turns<(u8, u32)>, number: u8, job: u32) -> Came<(u8, u32)> {
        turns.put(client(number), (number, job))
    }

    fn all(turns: &mut Turns<(u8, u32)>) -> Vec<(u8, u32)> {
        std::iter::from_fn(|| turns.take()).collect()
    }

    #[test]
    fn one_alone_is_served_in_his_order() {
        let mut turns = Turns::new(8);
        for job in 0..5 {
            assert_eq!(put(&mut turns, 1, job), Came::In);
        }
        assert_eq!(turns.waiting(), 5);
        assert_eq!(all(&mut turns), [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
        assert_eq!(turns.waiting(), 0);
        turns.waiters.assert_sound();
    }

    #[test]
    fn each_has_his_turn_and_whoever_comes_anew_is_next() {
        let mut turns = Turns::new(100);
        for number in 1..=3 {
            for job in 0..3 {
                put(&mut turns, number, job);
            }
        }
        let served: Vec<_> = (0..4).map(|_| turns.take().unwrap()).collect();
        assert_eq!(served, [(1, 0), (2, 0), (3, 0), (1, 1)]);
        put(&mut turns, 9, 0);
        put(&mut turns, 9, 1);
        let rest = all(&mut turns);
        assert_eq!(rest, [(9, 0), (2, 1), (3, 1), (1, 2), (9, 1), (2, 2), (3, 2)]);
    }

    #[test]
    fn new_ones_without_end_do_not_keep_those_who_wait_from_their_turns() {
        let mut turns = Turns::new(100);
        for job in 0..4 {
            put(&mut turns, 1, job);
        }
        let mut served = Vec::new();
        for number in 100..112 {
            put(&mut turns, number, 0);
            served.push(turns.take().unwrap().0);
        }
        assert_eq!(served.iter().filter(|number| **number == 1).count(), 4, "{served:?}");
    }

    #[test]
    fn where_there_is_no_room_the_longest_line_gives_way_to_a_clearly_shorter_one() {
        let mut turns = Turns::new(4);
        for job in 0..3 {
            assert_eq!(put(&mut turns, 1, job), Came::In);
        }
        assert_eq!(put(&mut turns, 2, 0), Came::In);
        assert_eq!(put(&mut turns, 1, 3), Came::Full((1, 3)));
        assert_eq!(put(&mut turns, 3, 0), Came::For((1, 2)));
        assert_eq!(
            put(&mut turns, 2, 1),
            Came::Full((2, 1)),
            "it would only be the other way round"
        );
        assert_eq!(put(&mut turns, 4, 0), Came::For((1, 1)));
        assert_eq!(put(&mut turns, 5, 0), Came::Full((5, 0)), "all have one");
        assert_eq!(turns.waiting(), 4);
        assert_eq!(all(&mut turns), [(1, 0), (2, 0), (3, 0), (4, 0)]);
    }

    /// One job each of this many clients, one after the other in this network.
    fn each_of(turns: &mut Turns<u32>, first: &str, apart: u128, clients: u128) {
        let first: IpAddr = first.parse().unwrap();
        for number in 0..clients {
            let client: IpAddr = match first {
                IpAddr::V4(first) => {
                    let bits = first.to_bits() + u32::try_from(number * apart).unwrap();
                    std::net::Ipv4Addr::from_bits(bits).into()
                }
                IpAddr::V6(first) => {
                    std::net::Ipv6Addr::from_bits(first.to_bits() + number * apart).into()
                }
            };
            turns.put(client, 0);
        }
    }

    #[test]
    fn whoever_has_a_network_to_come_from_shuts_nobody_else_out() {
        for (what, network, apart) in [
            ("a /16, each client once", "10.0.0.0", 1),
            ("a /32, one of each /48", "2001:db8::", 1 << 80),
            ("a /48, one of each /64", "2001:db8::", 1 << 64),
        ] {
            let mut turns = Turns::new(1024);
            each_of(&mut turns, network, apart, 4096);
            assert_eq!(turns.waiting(), 1024, "{what}");
            let good: Vec<IpAddr> = ["192.0.2.1", "2001:db9::1", "203.0.113.7"]
                .map(|client| client.parse().unwrap())
                .into();
            for (job, client) in (1..).zip(&good) {
                assert_eq!(turns.put(*client, job), Came::For(0), "{what}: {client}");
            }
            let served: Vec<_> =
                (0..8).filter_map(|_| turns.take()).filter(|job| *job > 0).collect();
            assert_eq!(
                served,
                [1, 2, 3],
                "{what}: they wait for a turn of the network, not for all of it"
            );
            turns.waiters.assert_sound();
        }
    }

    #[test]
    fn neighbours_of_a_network_that_is_full_find_room_in_what_is_theirs() {
        let mut turns = Turns::new(256);
        each_of(&mut turns, "10.0.7.0", 1, 256);
        assert_eq!(turns.put([10, 0, 8, 1].into(), 1), Came::For(0), "another /24 of the same /16");
        assert_eq!(turns.put([10, 0, 7, 1].into(), 1), Came::Full(1), "one of the crowd");
    }

    /// Who may go: the rule, by a look at everybody.
    fn may_go(waiting: &[(IpAddr, u32)], client: IpAddr, width: Width) -> BTreeSet<u32> {
        let by_network = grouped(waiting, width);
        let own = by_network.get(&width.of(client)).map_or(0, Vec::len);
        let heaviest = by_network.values().map(Vec::len).max().unwrap_or(0);
        match (heaviest > own + 1, width.within()) {
            (true, _) => last_ones(waiting, width),
            (false, Some(within)) if own > 0 => {
                may_go(&by_network[&width.of(client)], client, within)
            }
            (false, _) => BTreeSet::new(),
        }
    }

    fn last_ones(waiting: &[(IpAddr, u32)], width: Width) -> BTreeSet<u32> {
        let by_network = grouped(waiting, width);
        let heaviest = by_network.values().map(Vec::len).max().unwrap();
        let of_heaviest = by_network.values().filter(|those| those.len() == heaviest);
        of_heaviest
            .flat_map(|those| match width.within() {
                Some(within) => last_ones(those, within),
                None => those.last().map(|(_, job)| *job).into_iter().collect(),
            })
            .collect()
    }

    fn grouped(waiting: &[(IpAddr, u32)], width: Width) -> BTreeMap<IpAddr, Vec<(IpAddr, u32)>> {
        let mut by_network = BTreeMap::<_, Vec<_>>::new();
        for (client, job) in waiting {
            by_network.entry(width.of(*client)).or_default().push((*client, *job));
        }
        by_network
    }

    /// Of few networks, so that they meet.
    fn any_client() -> impl Strategy<Value = IpAddr> {
        let v4 = (0..3_u8, 0..3_u8, 0..4_u8).prop_map(|(a, b, c)| IpAddr::from([10, a, b, c]));
        let v6 = (0..2_u16, 0..3_u16, 0..4_u16)
            .prop_map(|(a, b, c)| IpAddr::from([0x2001, a, b, c, 0, 0, 0, 0]));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn all_is_as_by_a_look_at_everybody(
            waiting_max in 1..24_usize,
            steps in prop::collection::vec(prop::option::weighted(0.75, any_client()), 1..200),
        ) {
            let mut turns = Turns::new(waiting_max);
            let mut model = Vec::<(IpAddr, u32)>::new();
            for (job, step) in (0..).zip(steps) {
                match step {
                    Some(client) => {
                        let full = model.len() >= waiting_max;
                        let mut may_go = may_go(&model, client, Width::Provider);
                        if !full {
                            may_go.clear();
                        }
                        match turns.put(client, job) {
                            Came::In => {
                                prop_assert!(!full);
                                model.push((client, job));
                            }
                            Came::For(other) => {
                                prop_assert!(may_go.contains(&other), "{other} of {may_go:?}");
                                model.retain(|(_, job)| *job != other);
                                model.push((client, job));
                            }
                            Came::Full(same) => {
                                prop_assert!(full && may_go.is_empty() && same == job);
                            }
                        }
                    }
                    None => match turns.take() {
                        Some(job) => {
                            let first = |(client, _): &(IpAddr, u32)| {
                                model.iter().find(|(whose, _)| whose == client).map(|(_, job)| *job)
                            };
                            let at = model.iter().position(|(_, waits)| *waits == job);
                            prop_assert!(at.is_some(), "{job} did not wait");
                            let it = model[at.unwrap()];
                            prop_assert_eq!(first(&it), Some(job), "each line has its order");
                            model.remove(at.unwrap());
                        }
                        None => prop_assert!(model.is_empty()),
                    },
                }
                prop_assert_eq!(turns.waiting(), model.len());
                turns.waiters.assert_sound();
            }
            let mut left: VecDeque<u32> = model.into_iter().map(|(_, job)| job).collect();
            while let Some(job) = turns.take() {
                left.retain(|waits| *waits != job);
            }
            prop_assert!(left.is_empty(), "{left:?} never had a turn");
        }
    }
}

//! The relay between real sockets by both carriers: the same octets and the same counts, however the
//! connections end and wherever the octets are at that moment.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may block and panic"
)]

use proptest::prelude::*;
use rustsocks::relay::{Advance, Carrier, Direction, RelayEnd, Side};

use crate::rig::{PRELUDE, Rig};

#[path = "splice/rig.rs"]
mod rig;

const DIRECTIONS: [Direction; 2] = [Direction::Upload, Direction::Download];
/// Octets behind the prelude when something happens: around pages, portions and what a pipe may hold.
const TAILS: [usize; 8] = [0, 1, 4095, 4097, 65_536, 65_537, 200_000, 300_001];

fn carriers() -> [(&'static str, Carrier); 2] {
    [("copy", Carrier::new()), ("splice", Carrier::with_pipes(8))]
}

/// The side whose far end is the source of a direction.
fn source_side(direction: Direction) -> Side {
    match direction {
        Direction::Upload => Side::Client,
        Direction::Download => Side::Upstream,
    }
}

fn reset_of(side: Side) -> RelayEnd {
    match side {
        Side::Client => RelayEnd::ClientReset,
        Side::Upstream => RelayEnd::TargetReset,
    }
}

fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Upload => Direction::Download,
        Direction::Download => Direction::Upload,
    }
}

/// Everything is back: neither blocks nor pipes are out, and pipes were used if there are any.
fn assert_tidy(name: &str, carrier: &mut Carrier) {
    assert_eq!((carrier.pool().lent(), carrier.pipes().lent()), (0, 0), "{name}");
    let spliced = carrier.pipes().sums().octets;
    assert_eq!(spliced > 0, name == "splice", "{name}: {spliced} octets");
}

#[test]
fn a_fin_is_passed_on_after_every_octet() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            for tail in TAILS {
                let mut rig = Rig::heavy(&mut carrier, direction);
                let said = rig.source(direction).say(tail) + PRELUDE;
                rig.source(direction).fin();
                rig.until("the FIN", &mut carrier, |rig| {
                    rig.hear(direction, usize::MAX);
                    rig.sink(direction).heard_fin
                });
                assert_eq!((rig.sink(direction).heard, rig.booked(direction)), (said, said));
                // The other direction is open, and stays so until its own end.
                let answer = rig.source(other(direction)).say(10);
                rig.source(other(direction)).fin();
                let end = rig.end(&mut carrier);
                let closed = match direction {
                    Direction::Upload => RelayEnd::ClientClosed,
                    Direction::Download => RelayEnd::TargetClosed,
                };
                assert_eq!(end, closed, "{name}");
                assert_eq!(rig.booked(other(direction)), answer);
            }
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn a_fin_behind_octets_that_a_stalled_sink_does_not_take_waits_for_them() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            let mut rig = Rig::heavy(&mut carrier, direction);
            rig.stall(direction, &mut carrier);
            rig.source(direction).fin();
            assert_eq!(rig.advance(&mut carrier), Advance::Waiting);
            assert!(rig.held(direction) > 0);
            rig.source(other(direction)).fin();
            rig.ends_whole(direction, &mut carrier, name);
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn what_a_reset_source_had_sent_is_delivered_and_booked_to_the_octet() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            for tail in TAILS {
                let mut rig = Rig::heavy(&mut carrier, direction);
                let said = rig.source(direction).say(tail) + PRELUDE;
                rig.source(direction).reset();
                assert_eq!(rig.end(&mut carrier), reset_of(source_side(direction)), "{name}");
                assert!(!rig.sink(direction).heard_fin, "a reset is no FIN");
                let booked = rig.booked(direction);
                let (heard, _) = rig.close(direction);
                // A reset takes with it what its own kernel had not sent yet, and nothing else.
                assert_eq!(heard, booked, "{name} {tail}");
                assert!((PRELUDE..=said).contains(&heard));
            }
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn a_reset_source_is_over_when_the_stalled_sink_has_taken_what_is_held() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            let mut rig = Rig::heavy(&mut carrier, direction);
            rig.stall(direction, &mut carrier);
            let (held, booked) = (rig.held(direction), rig.booked(direction));
            rig.source(direction).reset();
            assert_eq!(rig.advance(&mut carrier), Advance::Waiting);
            assert!(rig.held(direction) > 0, "{name}");
            assert_eq!(rig.held(direction) + rig.booked(direction), held + booked, "{name}");
            assert_eq!(rig.end(&mut carrier), reset_of(source_side(direction)));
            let booked_in_the_end = rig.booked(direction);
            assert!(booked_in_the_end >= booked + held);
            let (heard, _) = rig.close(direction);
            assert_eq!(heard, booked_in_the_end, "{name}");
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn a_reset_sink_ends_the_relay_and_what_was_held_for_it_is_not_booked() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            let mut rig = Rig::heavy(&mut carrier, direction);
            rig.stall(direction, &mut carrier);
            let (held, booked) = (rig.held(direction), rig.booked(direction));
            rig.sink(direction).reset();
            let end = rig.end(&mut carrier);
            assert_eq!(end, reset_of(source_side(other(direction))), "{name}");
            // The kernel may have taken a little before it heard of the reset.
            let more = rig.booked(direction) - booked;
            assert!(more < held, "what was lost is not booked: {more} of {held}");
            assert_eq!(rig.held(direction), 0);
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn a_sink_that_has_closed_its_own_half_still_takes_everything() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            let mut rig = Rig::heavy(&mut carrier, direction);
            rig.sink(direction).fin();
            rig.stall(direction, &mut carrier);
            assert!(rig.relay.as_ref().unwrap().half_closed());
            rig.source(direction).fin();
            rig.ends_whole(direction, &mut carrier, name);
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn a_pipe_that_was_given_up_with_octets_in_it_is_nobodys_afterwards() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            for _ in 0..4 {
                let mut rig = Rig::heavy(&mut carrier, direction);
                rig.stall(direction, &mut carrier);
                let booked = rig.booked(direction);
                // A kill, a timeout: in the middle of it.
                rig.relay.take().unwrap().release(&mut carrier);
                assert_eq!((carrier.pool().lent(), carrier.pipes().lent()), (0, 0));
                let (heard, _) = rig.close(direction);
                assert_eq!(heard, booked, "{name}");
                // Others hear only what was said to them: `hear` compares each octet.
                Rig::heavy(&mut carrier, other(direction));
            }
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn a_stalled_sink_stops_its_source_and_not_the_other_direction() {
    for (name, mut carrier) in carriers() {
        for direction in DIRECTIONS {
            let mut rig = Rig::heavy(&mut carrier, direction);
            rig.stall(direction, &mut carrier);
            let (held, said) = (rig.held(direction), rig.source(direction).said);
            assert!(held <= rig.budget, "{name}: {held}");
            let lent = (carrier.pipes().lent(), carrier.pool().lent().min(1));
            assert_eq!(lent, if name == "splice" { (1, 0) } else { (0, 1) });
            let answer = rig.source(other(direction)).say(100_000);
            assert_eq!(answer, 100_000);
            rig.until("the other direction", &mut carrier, |rig| {
                rig.hear(other(direction), answer);
                rig.sink(other(direction)).heard == answer
            });
            assert!(rig.held(direction) > 0 && rig.source(direction).said == said);
            rig.until("everything", &mut carrier, |rig| {
                rig.hear(direction, usize::MAX);
                rig.sink(direction).heard == said
            });
            assert_eq!((rig.booked(direction), rig.held(direction)), (said, 0), "{name}");
        }
        assert_tidy(name, &mut carrier);
    }
}

#[test]
fn small_messages_leave_the_pipe_alone_again() {
    let mut carrier = Carrier::with_pipes(8);
    let mut rig = Rig::heavy(&mut carrier, Direction::Upload);
    let spliced = carrier.pipes().sums().octets;
    let mut last = spliced;
    for _ in 0..40 {
        rig.far_client.say(500);
        let said = rig.far_client.said;
        rig.until("a message", &mut carrier, |rig| {
            rig.hear(Direction::Upload, usize::MAX);
            rig.far_target.heard == said
        });
        last = carrier.pipes().sums().octets;
    }
    assert!(last - spliced < 40 * 500 / 2, "{last} after {spliced}");
}

#[test]
fn a_socket_that_cannot_be_spliced_is_copied_and_nothing_is_lost() {
    for refuses in [(true, false), (false, true)] {
        let mut carrier = Carrier::with_pipes(8);
        let mut rig = Rig::new(&mut carrier);
        rig.client.refuses = refuses;
        rig.upstream.refuses = refuses;
        let mut left = PRELUDE;
        rig.until("everything", &mut carrier, |rig| {
            left -= rig.far_client.say(left);
            rig.hear(Direction::Upload, usize::MAX);
            rig.far_target.heard == PRELUDE
        });
        assert_eq!(rig.booked(Direction::Upload), PRELUDE);
        let pipes = carrier.pipes();
        assert_eq!((pipes.open(), pipes.sums().octets), (0, 0));
    }
}

#[test]
fn where_all_pipes_are_out_others_are_copied() {
    let mut carrier = Carrier::with_pipes(1);
    let mut stalled = Rig::heavy(&mut carrier, Direction::Download);
    stalled.stall(Direction::Download, &mut carrier);
    let spliced = carrier.pipes().sums();
    assert_eq!((carrier.pipes().lent(), spliced.missed), (1, 0));
    Rig::heavy(&mut carrier, Direction::Download);
    let sums = carrier.pipes().sums();
    assert_eq!(sums.octets, spliced.octets);
    assert!(sums.missed > 0 && sums.failures == 0);
}

/// What a schedule has the far ends do between two turns of the relay.
#[derive(Clone, Debug)]
struct Act {
    direction: Direction,
    says: usize,
    hears: usize,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let direction = prop_oneof![Just(Direction::Upload), Just(Direction::Download)];
    let octets = || prop_oneof![3 => 0..2000_usize, 3 => 0..200_000_usize, 1 => Just(1_000_000)];
    let act = (direction, octets(), octets()).prop_map(|(direction, says, hears)| Act {
        direction,
        says,
        hears,
    });
    prop::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn both_carriers_move_the_same_octets_and_count_the_same(
        acts in acts(),
        budget in prop_oneof![1000..10_000_usize, Just(64 * 1024), Just(usize::MAX)],
    ) {
        let mut counts = Vec::new();
        for (name, mut carrier) in carriers() {
            let mut rig = Rig::heavy(&mut carrier, Direction::Download);
            rig.budget = budget;
            let mut wanted = [0, PRELUDE];
            for Act { direction, says, hears } in &acts {
                wanted[*direction as usize] += says;
                rig.source(*direction).say(*says);
                rig.advance(&mut carrier);
                rig.hear(*direction, *hears);
            }
            // What found no room then is said now.
            rig.until("everything", &mut carrier, |rig| {
                DIRECTIONS.into_iter().all(|direction| {
                    let wanted = wanted[direction as usize];
                    let source = rig.source(direction);
                    source.say(wanted - source.said);
                    rig.hear(direction, usize::MAX);
                    rig.sink(direction).heard == wanted
                })
            });
            rig.far_client.fin();
            rig.far_target.fin();
            let end = rig.end(&mut carrier);
            prop_assert!(matches!(end, RelayEnd::ClientClosed | RelayEnd::TargetClosed));
            let booked = DIRECTIONS.map(|direction| rig.booked(direction));
            prop_assert_eq!(booked, wanted);
            counts.push(booked);
            assert_tidy(name, &mut carrier);
        }
        prop_assert_eq!(counts[0], counts[1]);
    }
}

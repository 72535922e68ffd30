//! Whatever the schedule, and wherever something fails.

use std::io::ErrorKind;

use proptest::prelude::*;
use rustsocks::relay::{Advance, BLOCK_OCTETS, BYTES_PER_TURN, Direction, RelayEnd, Side};

use crate::script::{In, Out, Script, Stage};

/// A source's script: octets in portions with pauses between them.
fn portions() -> impl Strategy<Value = Vec<In>> {
    let size = prop_oneof![8 => 1..200_usize, 1 => 1..3 * BLOCK_OCTETS];
    let portion = prop_oneof![
        4 => (size, any::<u8>()).prop_map(|(size, seed)| In::Octets(
            (0..=250).cycle().skip(seed.into()).take(size).collect(),
        )),
        2 => Just(In::Blocks),
        1 => Just(In::Interrupted),
    ];
    prop::collection::vec(portion, 0..12)
}

/// A sink's script: short writes, refusals, and in the end willingness.
fn appetite() -> impl Strategy<Value = Vec<Out>> {
    let size = prop_oneof![8 => 1..300_usize, 1 => 1..2 * BLOCK_OCTETS];
    let bite = prop_oneof![
        3 => size.prop_map(Out::Takes),
        2 => Just(Out::Blocks),
        1 => Just(Out::Interrupted),
    ];
    prop::collection::vec(bite, 0..20)
}

fn said(reads: &[In]) -> Vec<u8> {
    let mut all = Vec::new();
    for item in reads {
        if let In::Octets(octets) = item {
            all.extend_from_slice(octets);
        }
    }
    all
}

/// What goes wrong, where: at the given place in a script, for good.
#[derive(Clone, Copy, Debug)]
struct Failure {
    side: Side,
    of_reads: bool,
    at: prop::sample::Index,
    kind: ErrorKind,
}

fn failure() -> impl Strategy<Value = Failure> {
    let side = prop_oneof![Just(Side::Client), Just(Side::Upstream)];
    let kind = prop_oneof![
        Just(ErrorKind::ConnectionReset),
        Just(ErrorKind::BrokenPipe),
        Just(ErrorKind::TimedOut),
        Just(ErrorKind::OutOfMemory),
    ];
    (side, any::<bool>(), any::<prop::sample::Index>(), kind)
        .prop_map(|(side, of_reads, at, kind)| Failure { side, of_reads, at, kind })
}

/// From a trickle to more than there is.
fn budget() -> impl Strategy<Value = usize> {
    prop_oneof![200..2000_usize, Just(BYTES_PER_TURN), Just(usize::MAX)]
}

/// More turns than any of the scripts has steps.
const TURNS_MAX: usize = 10_000;

proptest! {
    #[test]
    fn any_schedule_delivers_exactly_the_octets_and_then_the_fin(
        early in prop::collection::vec(any::<u8>(), 0..400),
        (client_says, client_takes) in (portions(), appetite()),
        (upstream_says, upstream_takes) in (portions(), appetite()),
        budget in budget(),
    ) {
        let upload = [early.clone(), said(&client_says)].concat();
        let download = said(&upstream_says);
        let client = Script::new(client_says.into_iter().chain([In::Fin]), client_takes);
        let upstream = Script::new(upstream_says.into_iter().chain([In::Fin]), upstream_takes);
        let mut stage = Stage::new(&early, client, upstream);
        let mut turns = 0;
        let end = loop {
            let before = (stage.upstream.got.len(), stage.client.got.len());
            let advance = stage.advance_by(budget);
            stage.assert_nothing_lost();
            for (sink, all, before) in [
                (&stage.upstream, &upload, before.0),
                (&stage.client, &download, before.1),
            ] {
                prop_assert_eq!(Some(&sink.got[before..]), all.get(before..sink.got.len()));
                prop_assert!(!sink.got_fin || sink.got.len() == all.len());
            }
            prop_assert_eq!(stage.relay.half_closed(), stage.upstream.got_fin != stage.client.got_fin);
            if let Advance::Ended(end) = advance {
                break end;
            }
            turns += 1;
            prop_assert!(turns < TURNS_MAX, "no end in sight");
        };
        prop_assert!(matches!(end, RelayEnd::ClientClosed | RelayEnd::TargetClosed));
        prop_assert!(stage.upstream.got_fin && stage.client.got_fin);
        prop_assert_eq!(&stage.upstream.got, &upload);
        prop_assert_eq!(&stage.client.got, &download);
        prop_assert_eq!(stage.carrier.pool().lent(), 0);
    }

    #[test]
    fn a_failure_anywhere_loses_only_what_the_failed_socket_had_still_to_get(
        early in prop::collection::vec(any::<u8>(), 0..400),
        (client_says, client_takes) in (portions(), appetite()),
        (upstream_says, upstream_takes) in (portions(), appetite()),
        budget in budget(),
        failure in failure(),
    ) {
        let mut client = Script::new(client_says.into_iter().chain([In::Fin]), client_takes);
        let mut upstream = Script::new(upstream_says.into_iter().chain([In::Fin]), upstream_takes);
        let Failure { side, of_reads, at, kind } = failure;
        let (failing, direction_from) = match side {
            Side::Client => (&mut client, Direction::Upload),
            Side::Upstream => (&mut upstream, Direction::Download),
        };
        if of_reads {
            // Instead of its FIN or before: a connection that has sent its FIN reads as ended.
            failing.reads.truncate(at.index(failing.reads.len()));
            failing.reads.push_back(In::Fails(kind));
        } else {
            failing.writes.truncate(at.index(failing.writes.len() + 1));
            failing.writes.push_back(Out::Fails(kind));
        }
        let all_from_failing = said(failing.reads.make_contiguous());
        let mut stage = Stage::new(&early, client, upstream);
        let mut turns = 0;
        let end = loop {
            let advance = stage.advance_by(budget);
            if stage.relay.failing().is_none() {
                stage.assert_nothing_lost();
            }
            prop_assert_eq!(stage.lost(direction_from), 0);
            if let Advance::Ended(end) = advance {
                break end;
            }
            turns += 1;
            prop_assert!(turns < TURNS_MAX, "no end in sight");
        };
        prop_assert_eq!(stage.carrier.pool().lent(), 0);
        let intact = match side {
            Side::Client => &stage.upstream,
            Side::Upstream => &stage.client,
        };
        if matches!(end, RelayEnd::ClientClosed | RelayEnd::TargetClosed) {
            // It was never met: nothing was left to write when the script came to fail.
            prop_assert!(!of_reads && stage.upstream.got_fin && stage.client.got_fin);
        } else {
            let reset = matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
            let expected = match (side, reset) {
                (Side::Client, true) => RelayEnd::ClientReset,
                (Side::Upstream, true) => RelayEnd::TargetReset,
                (side, false) => RelayEnd::Failed { side, kind },
            };
            prop_assert_eq!(end, expected);
            // All that the failed socket had sent arrives, unless nobody can tell whether it ends.
            if of_reads || kind != ErrorKind::OutOfMemory {
                let early = if side == Side::Client { early.len() } else { 0 };
                prop_assert_eq!(&intact.got[early..], &all_from_failing);
            }
            prop_assert!(!of_reads || !intact.got_fin, "a failure is not a FIN");
        }
    }
}

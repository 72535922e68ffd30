//! The relay over scripted ends: every order in which sockets may take, refuse, end and fail.

use std::io::ErrorKind;

use rustsocks::relay::{Advance, BLOCK_OCTETS, Direction, RelayEnd, Side};

use crate::script::{In, Out, Script, Stage};

#[path = "relay/schedules.rs"]
mod schedules;
#[path = "relay/script.rs"]
mod script;

fn says(text: &str) -> In {
    In::Octets(text.into())
}

#[test]
fn early_data_reaches_upstream_before_anything_else() {
    let client = Script::reads([says(" and late")]);
    let upstream = Script::writes([Out::Takes(2), Out::Blocks, Out::Blocks]);
    let mut stage = Stage::new(b"early", client, upstream);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!((&*stage.upstream.got, stage.client.given_out), (&b"ea"[..], 0));
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.upstream.got, b"early and late");
}

#[test]
fn early_data_of_a_client_that_closed_at_once_arrives_before_its_fin() {
    let mut stage = Stage::new(b"all of it", Script::reads([In::Fin]), Script::default());
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.upstream.got, b"all of it");
    assert!(stage.upstream.got_fin && stage.relay.half_closed());
}

#[test]
fn while_a_sink_is_full_its_source_is_not_read_and_the_other_direction_goes_on() {
    let client = Script::reads([says("one"), says("two")]);
    let upstream = Script::new([says("down")], [Out::Takes(1), Out::Blocks, Out::Blocks]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.relay.held(Direction::Upload), 2);
    assert_eq!(stage.carrier.pool().lent(), 1);
    assert_eq!(stage.client.got, b"down");
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.client.given_out, 3);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.upstream.got, b"onetwo");
    assert_eq!(stage.carrier.pool().lent(), 0);
}

#[test]
fn a_fin_waits_for_the_octets_before_it() {
    let client = Script::reads([says("last words"), In::Fin]);
    let upstream = Script::writes([Out::Takes(4), Out::Blocks, Out::Blocks]);
    let mut stage = Stage::new(b"", client, upstream);
    for _ in 0..2 {
        assert_eq!(stage.advance(), Advance::Waiting);
        assert!(!stage.upstream.got_fin);
    }
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.upstream.got, b"last words");
    assert!(stage.upstream.got_fin);
}

#[test]
fn after_a_half_close_the_other_direction_goes_on() {
    let client = Script::reads([says("question"), In::Fin]);
    let upstream = Script::reads([In::Blocks, says("ans"), In::Blocks, says("wer"), In::Fin]);
    let mut stage = Stage::new(b"", client, upstream);
    assert!(!stage.relay.half_closed());
    assert_eq!(stage.advance(), Advance::Waiting);
    assert!(stage.relay.half_closed() && stage.upstream.got_fin && !stage.client.got_fin);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.client.got, b"ans");
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientClosed));
    assert_eq!(stage.client.got, b"answer");
    assert!(stage.client.got_fin && !stage.relay.half_closed());
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientClosed));
}

#[test]
fn the_side_whose_fin_came_first_is_the_one_that_closed() {
    let client = Script::reads([In::Blocks, In::Fin]);
    let mut stage = Stage::new(b"", client, Script::reads([In::Fin]));
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::TargetClosed));
}

#[test]
fn a_fin_that_could_not_be_read_yet_is_not_the_first() {
    let client = Script::reads([says("stuck"), In::Fin]);
    let upstream =
        Script::new([In::Blocks, In::Blocks, In::Fin], [Out::Blocks, Out::Blocks, Out::Blocks]);
    let mut stage = Stage::new(b"", client, upstream);
    while stage.upstream.writes.len() > 1 {
        assert_eq!(stage.advance(), Advance::Waiting);
    }
    // The client's FIN lies behind octets that are stuck, and nobody has read it.
    assert_eq!(stage.advance(), Advance::Waiting);
    assert!(stage.relay.half_closed());
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::TargetClosed));
}

#[test]
fn a_reset_client_ends_the_relay_after_what_it_sent_was_delivered() {
    let client = Script::reads([says("accepted"), In::Fails(ErrorKind::ConnectionReset)]);
    let upstream =
        Script::new([In::Blocks, says("never read")], [Out::Takes(3), Out::Blocks, Out::Blocks]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.relay.failing(), None);
    stage.client.writes.push_back(Out::Fails(ErrorKind::BrokenPipe));
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.relay.failing(), Some(RelayEnd::ClientReset));
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientReset));
    assert_eq!(stage.upstream.got, b"accepted");
    assert!(!stage.upstream.got_fin, "a reset is not a FIN");
    assert_eq!(stage.carrier.pool().lent(), 0);
}

#[test]
fn what_a_reset_client_had_sent_is_still_read_when_a_write_finds_the_reset() {
    let client = Script::new(
        [In::Blocks, says("in the kernel's "), says("queue"), In::Fin],
        [Out::Fails(ErrorKind::ConnectionReset)],
    );
    let upstream = Script::reads([says("download")]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.relay.failing(), Some(RelayEnd::ClientReset));
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientReset));
    assert_eq!(stage.upstream.got, b"in the kernel's queue");
    assert!(!stage.upstream.got_fin, "the EOF of a lost connection is not a FIN");
}

#[test]
fn a_reset_after_a_fin_is_a_reset() {
    let client = Script::new([In::Fin], [Out::Takes(2), Out::Fails(ErrorKind::BrokenPipe)]);
    let upstream = Script::reads([says("unwanted")]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientReset));
    assert_eq!(stage.book.0, [(Direction::Download, 2)]);
}

#[test]
fn a_reset_target_ends_the_relay_though_the_client_has_more() {
    let client = Script::reads([says("more"), In::Blocks, says("and more")]);
    let upstream = Script::new([says("answer"), In::Fin], [Out::Fails(ErrorKind::ConnectionReset)]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::TargetReset));
    assert_eq!(stage.client.got, b"answer");
    assert!(!stage.client.got_fin);
    assert_eq!(stage.book.total(Direction::Upload), 0);
}

#[test]
fn a_target_that_reads_as_reset_takes_nothing_more() {
    let client = Script::reads([In::Blocks, says("too late")]);
    let upstream = Script::new([In::Fails(ErrorKind::ConnectionReset)], [Out::Blocks]);
    let mut stage = Stage::new(b"early", client, upstream);
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::TargetReset));
    assert_eq!((stage.client.given_out, stage.carrier.pool().lent()), (0, 0));
}

#[test]
fn other_failures_name_their_side() {
    for kind in [ErrorKind::TimedOut, ErrorKind::HostUnreachable] {
        let upstream = Script::reads([In::Fails(kind)]);
        let mut stage = Stage::new(b"", Script::default(), upstream);
        let end = RelayEnd::Failed { side: Side::Upstream, kind };
        assert_eq!(stage.advance(), Advance::Ended(end));
    }
    let client = Script::writes([Out::Fails(ErrorKind::OutOfMemory)]);
    let mut stage = Stage::new(b"", client, Script::reads([says("x")]));
    let end = RelayEnd::Failed { side: Side::Client, kind: ErrorKind::OutOfMemory };
    assert_eq!(stage.advance(), Advance::Ended(end));
}

#[test]
fn a_sink_that_takes_nothing_and_says_nothing_has_failed() {
    let upstream = Script::writes([Out::Takes(0)]);
    let mut stage = Stage::new(b"early", Script::default(), upstream);
    let end = RelayEnd::Failed { side: Side::Upstream, kind: ErrorKind::WriteZero };
    assert_eq!(stage.advance(), Advance::Ended(end));
}

#[test]
fn the_first_failure_decides() {
    let client = Script::reads([says("rest"), In::Fails(ErrorKind::ConnectionReset)]);
    let upstream = Script::writes([Out::Blocks, Out::Takes(1), Out::Blocks]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Waiting);
    stage.client.writes.push_back(Out::Fails(ErrorKind::BrokenPipe));
    stage.upstream.reads.push_back(says("x"));
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.relay.failing(), Some(RelayEnd::ClientReset));
    stage.upstream.writes.push_back(Out::Fails(ErrorKind::ConnectionReset));
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientReset));
    assert_eq!(stage.book.total(Direction::Upload), 1);
}

#[test]
fn a_shutdown_that_finds_no_connection_is_a_reset() {
    let mut upstream = Script::reads([In::Fin]);
    upstream.shutdown_fails = Some(ErrorKind::NotConnected);
    let mut stage = Stage::new(b"", Script::reads([In::Fin]), upstream);
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::TargetReset));
}

#[test]
fn an_interrupted_call_is_made_again() {
    let client = Script::reads([In::Interrupted, says("x"), In::Interrupted, In::Fin]);
    let upstream = Script::new([In::Fin], [Out::Interrupted, Out::Takes(1)]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Ended(RelayEnd::ClientClosed));
    assert_eq!(stage.upstream.got, b"x");
}

#[test]
fn each_direction_has_a_budget_of_its_own() {
    let client = Script::reads([In::Octets(vec![1; 250])]);
    let upstream = Script::reads([In::Octets(vec![2; 250])]);
    let mut stage = Stage::new(b"", client, upstream);
    for turn in 1..=2 {
        assert_eq!(stage.advance_by(100), Advance::Again);
        assert_eq!(stage.book.total(Direction::Upload), turn * 100);
        assert_eq!(stage.book.total(Direction::Download), turn * 100);
    }
    assert_eq!(stage.advance_by(100), Advance::Waiting);
    stage.assert_nothing_lost();
    assert_eq!(stage.client.got.len(), 250);
}

#[test]
fn a_budget_of_nothing_still_delivers_what_is_stashed() {
    let mut stage = Stage::new(b"early", Script::reads([says("x")]), Script::default());
    assert_eq!(stage.advance_by(0), Advance::Again);
    assert_eq!(stage.upstream.got, b"early");
}

#[test]
fn one_transfer_is_booked_once_however_many_writes_it_took() {
    let client = Script::reads([says("abcdef"), In::Blocks, says("g")]);
    let upstream = Script::writes([Out::Takes(1), Out::Takes(2), Out::Blocks]);
    let mut stage = Stage::new(b"", client, upstream);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.book.0, [(Direction::Upload, 3)]);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.advance(), Advance::Waiting);
    let transfers: Vec<usize> = stage.book.0.iter().map(|(_, octets)| *octets).collect();
    assert_eq!(transfers, [3, 3, 1]);
}

#[test]
fn a_stash_of_several_blocks_is_one_transfer() {
    let early = vec![5; 3 * BLOCK_OCTETS + 1];
    let mut stage = Stage::new(&early, Script::default(), Script::default());
    assert_eq!(stage.carrier.pool().lent(), 4);
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.book.0, [(Direction::Upload, early.len())]);
    assert_eq!(stage.carrier.pool().lent(), 0);
}

#[test]
fn a_relay_that_is_given_up_returns_its_blocks() {
    let mut stage = Stage::new(b"early", Script::default(), Script::writes([Out::Blocks]));
    assert_eq!(stage.advance(), Advance::Waiting);
    assert_eq!(stage.carrier.pool().lent(), 1);
    stage.relay.release(&mut stage.carrier);
    assert_eq!(stage.carrier.pool().lent(), 0);
}

//! The relay over scripted ends: every order in which sockets may take, refuse, end and fail.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;

use proptest::prelude::*;
use rustsocks::relay::{
    Advance, BLOCK_OCTETS, BYTES_PER_TURN, Carrier, Direction, End, Meter, Relay, RelayEnd, Side,
};

/// What an end answers to the reads to come. When it has run out: `WouldBlock`.
#[derive(Clone, Debug)]
enum In {
    Octets(Vec<u8>),
    Blocks,
    /// Stays.
    Fin,
    /// Stays.
    Fails(ErrorKind),
    Interrupted,
}

/// What an end answers to the writes to come. When it has run out, it takes everything.
#[derive(Clone, Debug)]
enum Out {
    Takes(usize),
    Blocks,
    /// Stays.
    Fails(ErrorKind),
    Interrupted,
}

/// One end: plays its script and keeps what it was given.
#[derive(Default)]
struct Script {
    reads: VecDeque<In>,
    writes: VecDeque<Out>,
    shutdown_fails: Option<ErrorKind>,
    given_out: usize,
    got: Vec<u8>,
    got_fin: bool,
}

impl Script {
    fn new(reads: impl IntoIterator<Item = In>, writes: impl IntoIterator<Item = Out>) -> Self {
        Self {
            reads: reads.into_iter().collect(),
            writes: writes.into_iter().collect(),
            ..Self::default()
        }
    }

    fn reads(reads: impl IntoIterator<Item = In>) -> Self {
        Self::new(reads, [])
    }

    fn writes(writes: impl IntoIterator<Item = Out>) -> Self {
        Self::new([], writes)
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!buffer.is_empty(), "a read of nothing looks like EOF");
        match self.reads.front_mut() {
            None => Err(ErrorKind::WouldBlock.into()),
            Some(In::Fin) => Ok(0),
            Some(In::Fails(kind)) => Err((*kind).into()),
            Some(In::Blocks) => {
                self.reads.pop_front();
                Err(ErrorKind::WouldBlock.into())
            }
            Some(In::Interrupted) => {
                self.reads.pop_front();
                Err(ErrorKind::Interrupted.into())
            }
            Some(In::Octets(octets)) => {
                let read = octets.len().min(buffer.len());
                buffer[..read].copy_from_slice(&octets[..read]);
                octets.drain(..read);
                if octets.is_empty() {
                    self.reads.pop_front();
                }
                self.given_out += read;
                Ok(read)
            }
        }
    }
}

impl Write for Script {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        assert!(!octets.is_empty(), "there is nothing to say by writing nothing");
        assert!(!self.got_fin, "octets after FIN");
        let taken = match self.writes.front() {
            None => octets.len(),
            Some(Out::Fails(kind)) => return Err((*kind).into()),
            Some(Out::Blocks) => {
                self.writes.pop_front();
                return Err(ErrorKind::WouldBlock.into());
            }
            Some(Out::Interrupted) => {
                self.writes.pop_front();
                return Err(ErrorKind::Interrupted.into());
            }
            Some(Out::Takes(taken)) => {
                let taken = octets.len().min(*taken);
                self.writes.pop_front();
                taken
            }
        };
        self.got.extend_from_slice(&octets[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End for Script {
    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.got_fin, "a second FIN");
        if let Some(kind) = self.shutdown_fails {
            return Err(kind.into());
        }
        self.got_fin = true;
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Every transfer, in order.
#[derive(Default)]
struct Book(Vec<(Direction, usize)>);

impl Book {
    fn total(&self, direction: Direction) -> usize {
        self.0.iter().filter(|(which, _)| *which == direction).map(|(_, octets)| octets).sum()
    }
}

impl Meter for Book {
    fn moved(&mut self, direction: Direction, octets: usize) {
        assert_ne!(octets, 0, "nothing moved");
        self.0.push((direction, octets));
    }
}

/// A relay between two scripts, and what it is lent.
struct Stage {
    client: Script,
    upstream: Script,
    relay: Relay,
    carrier: Carrier,
    book: Book,
    early: usize,
}

impl Stage {
    fn new(early_upload: &[u8], client: Script, upstream: Script) -> Self {
        let mut carrier = Carrier::new();
        let relay = Relay::new(early_upload, carrier.pool());
        Self { client, upstream, relay, carrier, book: Book::default(), early: early_upload.len() }
    }

    fn advance(&mut self) -> Advance {
        self.advance_by(BYTES_PER_TURN)
    }

    fn advance_by(&mut self, budget: usize) -> Advance {
        let Self { client, upstream, relay, carrier, book, .. } = self;
        relay.advance(client, upstream, carrier, budget, book)
    }

    /// Octets that were read and are neither delivered nor stashed: those of a sink that failed.
    fn lost(&self, direction: Direction) -> usize {
        let (read, sink) = match direction {
            Direction::Upload => (self.early + self.client.given_out, &self.upstream),
            Direction::Download => (self.upstream.given_out, &self.client),
        };
        assert_eq!(self.book.total(direction), sink.got.len(), "booked is what was accepted");
        read - sink.got.len() - self.relay.stashed(direction)
    }

    fn assert_nothing_lost(&self) {
        assert_eq!(self.lost(Direction::Upload), 0);
        assert_eq!(self.lost(Direction::Download), 0);
    }
}

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
    assert_eq!(stage.relay.stashed(Direction::Upload), 2);
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
    stage.relay.release(stage.carrier.pool());
    assert_eq!(stage.carrier.pool().lent(), 0);
}

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

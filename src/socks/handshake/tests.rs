//! Whole conversations stand in `tests/conversations.rs`; here is what no table shows.

use proptest::prelude::*;

use super::*;

const BOTH: MethodSet = MethodSet::NO_AUTH.with(Method::UserPass);

#[test]
fn it_starts_with_the_first_octet_and_agrees_with_the_greeting() {
    let (mut handshake, mut out) = (Handshake::new(BOTH), Outbox::new());
    assert!(matches!(handshake.feed(&[], &mut out), Ok((0, Progress::NeedMore))));
    assert!(!handshake.has_started());
    assert!(matches!(handshake.feed(&[5], &mut out), Ok((0, Progress::NeedMore))));
    assert!(handshake.has_started());
    assert_eq!(handshake.method(), None);
    assert!(matches!(handshake.feed(&[5, 1, 0], &mut out), Ok((3, Progress::NeedMore))));
    assert_eq!(handshake.method(), Some(Method::NoAuth));
    assert_eq!(out.pending(), [5, 0]);
}

#[test]
fn nothing_is_consumed_while_a_verdict_is_due() {
    let (mut handshake, mut out) = (Handshake::new(MethodSet::USERPASS), Outbox::new());
    let input = *b"\x05\x01\x02\x01\x01u\x01p";
    let (consumed, progress) = handshake.feed(&input, &mut out).unwrap();
    assert_eq!(consumed, input.len());
    assert!(matches!(progress, Progress::Verify(_)));
    for _ in 0..2 {
        assert!(matches!(handshake.feed(&[5, 1], &mut out), Ok((0, Progress::NeedMore))));
    }
    handshake.verdict(true, &mut out);
    assert_eq!(out.pending(), [5, 2, 1, 0]);
}

#[test]
fn nothing_is_consumed_or_said_after_the_end() {
    let request: &[u8] = &[5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 80];
    let endings: [&[u8]; 4] = [request, &[5, 1, 0x80], &[6], &[5, 1, 0, 5, 1, 0, 9]];
    for ending in endings {
        let (mut handshake, mut out) = (Handshake::new(MethodSet::NO_AUTH), Outbox::new());
        assert!(!matches!(handshake.feed(ending, &mut out), Ok((_, Progress::NeedMore))));
        let said = out.pending().len();
        assert!(matches!(handshake.feed(request, &mut out), Ok((0, Progress::NeedMore))));
        assert_eq!(out.pending().len(), said);
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "without a question")]
fn a_verdict_without_a_question_is_a_defect() {
    Handshake::new(MethodSet::USERPASS).verdict(true, &mut Outbox::new());
}

/// What a caller sees of a handshake, in a form that can be compared.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    questions: Vec<String>,
    out: Vec<u8>,
    /// Octets not consumed; not compared where the handshake broke, since how much had come by then
    /// may differ.
    rest: Option<Vec<u8>>,
}

/// Feeds the octets in pieces of the given lengths, the last of which repeats, as a worker would.
fn converse(methods: MethodSet, accepts: bool, octets: &[u8], pieces: &[usize]) -> Seen {
    let (mut handshake, mut out) = (Handshake::new(methods), Outbox::new());
    let (mut seen, mut inbox, mut coming) = (Seen::default(), Vec::new(), octets);
    let mut pieces = pieces.iter().copied();
    while !coming.is_empty() {
        let length = pieces.next().unwrap_or(usize::MAX).clamp(1, coming.len());
        let (piece, rest) = coming.split_at(length);
        inbox.extend_from_slice(piece);
        coming = rest;
        loop {
            let (consumed, progress) = match handshake.feed(&inbox, &mut out) {
                Ok(step) => step,
                Err(malformed) => {
                    seen.questions.push(malformed.to_string());
                    seen.out = out.pending().to_vec();
                    return seen;
                }
            };
            assert!(consumed <= inbox.len());
            inbox.drain(..consumed);
            match progress {
                Progress::NeedMore => break,
                Progress::Verify(claimed) => {
                    seen.questions.push(format!("{claimed:?} {:?}", claimed.password));
                    handshake.verdict(accepts, &mut out);
                }
                Progress::Requested { request, userid } => {
                    seen.questions.push(format!("{request:?} {userid:?}"));
                }
                Progress::NoMethod { userid } => {
                    seen.questions.push(format!("no method {userid:?}"));
                }
            }
        }
        assert!(handshake.stage == Stage::Done || inbox.len() < Handshake::MESSAGE_OCTETS_MAX);
    }
    seen.out = out.pending().to_vec();
    seen.rest = Some(inbox);
    seen
}

fn any_methods() -> impl Strategy<Value = MethodSet> {
    prop_oneof![
        Just(MethodSet::EMPTY),
        Just(MethodSet::NO_AUTH),
        Just(MethodSet::USERPASS),
        Just(BOTH),
    ]
}

/// Octets that get deep into the handshake more often than pure noise: small values, where all the
/// codes are.
fn plausible_octets() -> impl Strategy<Value = Vec<u8>> {
    let noise = || proptest::collection::vec(prop_oneof![4 => 0..=6_u8, 1 => any::<u8>()], 0..600);
    let greeting =
        prop_oneof![Just(vec![5, 1, 0]), Just(vec![5, 2, 0, 2]), Just(vec![5, 1, 2]), noise()];
    let userpass = prop_oneof![Just(b"\x01\x01u\x01p".to_vec()), Just(vec![]), noise()];
    let request = prop_oneof![Just(vec![5, 1, 0]), Just(b"\x05\x03\0\x03\x01a\0\0".to_vec())];
    (greeting, userpass, request, noise()).prop_map(|(greeting, userpass, request, rest)| {
        [greeting, userpass, request, rest].concat()
    })
}

proptest! {
    #[test]
    fn no_octets_panic_and_their_pieces_make_no_difference(
        methods in any_methods(),
        accepts: bool,
        octets in prop_oneof![plausible_octets(), any::<Vec<u8>>()],
        pieces in proptest::collection::vec(1..40_usize, 0..40),
    ) {
        let whole = converse(methods, accepts, &octets, &[]);
        prop_assert_eq!(&converse(methods, accepts, &octets, &pieces), &whole);
        prop_assert_eq!(&converse(methods, accepts, &octets, &vec![1; octets.len()]), &whole);
    }
}

//! One slot of the ledger, which is the session itself.
//!
//! 512 octets, all of them atomics, so that a `&'static Session` may be shared by the worker that
//! owns it, the writer and the readers. There is no lock: the head says whose the slot is.
//!
//! ```text
//! line 0  head · id · start · client address · resolved address
//! line 1  counters · last activity · duration · policy generation · presence bits · next slot
//! line 2  ports · kinds · rule · text lengths · stage times · round trips · retransmits · detail
//! line 3… text: user, target, claimed user, rule, one behind the other (320 octets)
//! ```
//!
//! Text that does not fit goes on in the text lines of a second slot.
//!
//! The order is that of [`Head`](super::head::Head). Late facts are stored first and their presence
//! bit after them (Release).

use std::mem::offset_of;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use super::SessionId;
use super::detail::{Detail, ip_from, ip_words};
use super::head::{Head, State};
use super::outcome::Outcome;
pub use crate::acl::Decision;
use crate::acl::Ruling;
pub use crate::socks::Command;

/// One session, in one slot of the ledger.
#[derive(FromBytes, IntoBytes, KnownLayout, Debug)]
#[repr(C, align(64))]
pub struct Session {
    head: AtomicU64,
    id: [AtomicU64; 2],
    start_ms: AtomicU64,
    client_ip: [AtomicU64; 2],
    resolved_ip: [AtomicU64; 2],

    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    packets_sent: AtomicU64,
    packets_received: AtomicU64,
    last_activity_ms: AtomicU64,
    duration_ms: AtomicU64,
    policy_generation: AtomicU64,
    present: AtomicU32,
    more: AtomicU32,

    ports: AtomicU32,
    kinds: AtomicU32,
    rule_id: AtomicU32,
    lengths: AtomicU32,
    stages_us: [AtomicU32; 4],
    rtt_us: [AtomicU32; 2],
    retransmits: [AtomicU32; 2],
    detail: [AtomicU64; 2],

    text: [AtomicU64; TEXT_WORDS],
}

const _: () = assert!(size_of::<Session>() == 512);

/// Names the layout of a slot: a ledger with another one is not read. To be counted up when a field,
/// a number of an outcome or a bit changes its meaning; moved fields change it by themselves.
pub(super) const LAYOUT: u64 = {
    const MEANING: u64 = 1;
    let offsets = [
        offset_of!(Session, head),
        offset_of!(Session, id),
        offset_of!(Session, start_ms),
        offset_of!(Session, client_ip),
        offset_of!(Session, resolved_ip),
        offset_of!(Session, bytes_sent),
        offset_of!(Session, bytes_received),
        offset_of!(Session, packets_sent),
        offset_of!(Session, packets_received),
        offset_of!(Session, last_activity_ms),
        offset_of!(Session, duration_ms),
        offset_of!(Session, policy_generation),
        offset_of!(Session, present),
        offset_of!(Session, more),
        offset_of!(Session, ports),
        offset_of!(Session, kinds),
        offset_of!(Session, rule_id),
        offset_of!(Session, lengths),
        offset_of!(Session, stages_us),
        offset_of!(Session, rtt_us),
        offset_of!(Session, retransmits),
        offset_of!(Session, detail),
        offset_of!(Session, text),
    ];
    // FNV-1a.
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ MEANING;
    let mut at = 0;
    while at < offsets.len() {
        hash = (hash ^ offsets[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
};

/// Octets of text in the slot itself.
const TEXT_OCTETS: usize = TEXT_WORDS * 8;
const TEXT_WORDS: usize = 40;
/// Octets of text of a continuation slot: its own 320 and nothing else, so that one function
/// copies both.
const TEXT_MAX: usize = TEXT_OCTETS * 2;

const PRESENT_RESOLVED: u32 = 1;
const PRESENT_STAGE: u32 = 1 << 1; // four bits
const PRESENT_CLIENT_TCP: u32 = 1 << 5;
const PRESENT_UPSTREAM_TCP: u32 = 1 << 6;
const PRESENT_RULE_ID: u32 = 1 << 7;
const PRESENT_TARGET: u32 = 1 << 8;
const PRESENT_RULING: u32 = 1 << 9;
const PRESENT_RELAYED: u32 = 1 << 10;
const PRESENT_ACCEPTED: u32 = 1 << 11;
const PRESENT_CLIENTS: u32 = 1 << 12;
const PRESENT_ASKED_FROM: u32 = 1 << 13;

const COMMAND_SHIFT: u32 = 0;
const DECISION_SHIFT: u32 = 8;
const OUTCOME_SHIFT: u32 = 16;

/// The facts that are fixed when a session is opened.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The id.
    pub id: SessionId,
    /// When the client was accepted: milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// The client; IPv4-mapped addresses already unwrapped.
    pub client: SocketAddr,
    /// The authenticated name, or the name of the anonymous user; at most 255 octets count.
    pub user: &'a str,
    /// The name that a failed login claimed; at most 255 octets count.
    pub claimed_user: Option<&'a str>,
    /// Host and port as the client asked for them; `None` if it never got that far.
    pub target: Option<(&'a str, u16)>,
    /// What was asked for, if anything was.
    pub command: Option<Command>,
    /// What the rules said, if they were asked; at most 255 octets of the rule count.
    pub ruling: Option<&'a Ruling>,
    /// The policy under which it was judged.
    pub policy_generation: u64,
    /// Whether it was given its permit, and so counts as an accepted session.
    pub accepted: bool,
}

/// Microseconds spent in each stage that happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// From the credentials' arrival to the verdict.
    pub auth_us: Option<u32>,
    /// From the question to the addresses.
    pub resolve_us: Option<u32>,
    /// From the first dial to the connection, or until no more was tried.
    pub connect_us: Option<u32>,
    /// From the success reply to the target's first octet.
    pub first_byte_us: Option<u32>,
}

/// Octets and transfers that the receiving socket accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Octets, client to target.
    pub bytes_sent: u64,
    /// Octets, target to client.
    pub bytes_received: u64,
    /// Transfers, client to target.
    pub packets_sent: u64,
    /// Transfers, target to client.
    pub packets_received: u64,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub outcome: Outcome,
    /// Whether it had relayed.
    pub relayed: bool,
    /// Monotonic time since accept, milliseconds.
    pub duration_ms: u64,
}

/// A reference to one use of one slot. It goes stale when the slot is used again; readers notice.
#[derive(Clone, Copy, Debug)]
pub struct SessionRef {
    pub(crate) session: &'static Session,
    pub(crate) generation: u32,
}

impl SessionRef {
    /// Stores the session's counters; `now_ms` is the wall clock in milliseconds.
    pub fn publish(self, traffic: Traffic, now_ms: i64) {
        // Octets before transfers: after a kill a cut session may show one transfer fewer than its
        // octets say, never one more.
        self.session.bytes_sent.store(traffic.bytes_sent, Relaxed);
        self.session.bytes_received.store(traffic.bytes_received, Relaxed);
        self.session.packets_sent.store(traffic.packets_sent, Relaxed);
        self.session.packets_received.store(traffic.packets_received, Relaxed);
        self.session.last_activity_ms.store(now_ms.cast_unsigned(), Relaxed);
    }

    /// The address that was dialled.
    pub fn set_resolved(self, address: IpAddr) {
        store_ip(&self.session.resolved_ip, address);
        self.mark(PRESENT_RESOLVED);
    }

    /// The stage times known so far; those that are `None` keep what they were.
    pub fn set_stages(self, stages: &Stages) {
        let times = [stages.auth_us, stages.resolve_us, stages.connect_us, stages.first_byte_us];
        let mut bits = 0;
        for (index, time) in times.into_iter().enumerate() {
            if let Some(us) = time {
                self.session.stages_us[index].store(us, Relaxed);
                bits |= PRESENT_STAGE << index;
            }
        }
        self.mark(bits);
    }

    /// Smoothed round trip time in microseconds and retransmitted segments of the client's leg.
    pub fn set_client_tcp(self, rtt_us: u32, retransmits: u32) {
        self.session.rtt_us[0].store(rtt_us, Relaxed);
        self.session.retransmits[0].store(retransmits, Relaxed);
        self.mark(PRESENT_CLIENT_TCP);
    }

    /// The same of the upstream leg.
    pub fn set_upstream_tcp(self, rtt_us: u32, retransmits: u32) {
        self.session.rtt_us[1].store(rtt_us, Relaxed);
        self.session.retransmits[1].store(retransmits, Relaxed);
        self.mark(PRESENT_UPSTREAM_TCP);
    }

    /// What its outcome's sentence does not say; to be said once, before it is settled.
    pub fn set_detail(self, detail: Detail) {
        store_pair(&self.session.detail, detail.to_words());
        self.mark(match detail {
            Detail::Clients(_) => PRESENT_CLIENTS,
            Detail::AskedFrom(_) => PRESENT_ASKED_FROM,
        });
    }

    /// The id of the session, unless the slot has been used again since.
    #[must_use]
    pub fn id(self) -> Option<SessionId> {
        let id = SessionId::from_words(
            self.session.id[0].load(Relaxed),
            self.session.id[1].load(Relaxed),
        );
        self.is_current().then_some(id)
    }

    /// Whether the slot still holds this session.
    #[must_use]
    pub fn is_current(self) -> bool {
        self.session.head().is_still(self.generation)
    }

    /// When the counters were last stored (milliseconds since the Unix epoch), without a check.
    #[must_use]
    pub fn last_activity_ms(self) -> i64 {
        self.session.last_activity_ms.load(Relaxed).cast_signed()
    }

    pub(crate) fn settle(self, ending: &Ending, now_ms: i64) {
        let session = self.session;
        session.duration_ms.store(ending.duration_ms, Relaxed);
        session.last_activity_ms.store(now_ms.cast_unsigned(), Relaxed);
        let kinds = session.kinds.load(Relaxed);
        let outcome = u32::from(ending.outcome.number()) << OUTCOME_SHIFT;
        session.kinds.store(kinds | outcome, Relaxed);
        if ending.relayed {
            self.mark(PRESENT_RELAYED);
        }
        session.head().settle(self.generation);
    }

    fn mark(self, bits: u32) {
        // One owner writes: a load and a store do, no locked instruction is needed.
        let present = self.session.present.load(Relaxed);
        self.session.present.store(present | bits, Release);
    }
}

/// Whether `opening` needs a second slot for its text.
pub(crate) fn needs_continuation(opening: &Opening<'_>) -> bool {
    let [user, target, claimed, rule] = texts(opening);
    user.len() + target.len() + claimed.len() + rule.len() > TEXT_OCTETS
}

impl Session {
    pub(crate) fn is_free(&self) -> bool {
        self.head().is_free()
    }

    /// A reference to the session that is in it, live or ended, if one is.
    pub(crate) fn current_use(&'static self) -> Option<SessionRef> {
        let reference = SessionRef { session: self, generation: self.generation() };
        reference.is_current().then_some(reference)
    }

    /// Frees the slot, and the one that continues it.
    pub(crate) fn free(&self, rest: Option<&Self>) {
        self.head().free(rest.map(Self::head));
    }

    const fn head(&self) -> Head<'_> {
        Head(&self.head)
    }

    /// The generation of whatever is in the slot.
    pub(crate) fn generation(&self) -> u32 {
        self.head().generation()
    }

    pub(crate) fn continuation(&self) -> Option<u32> {
        self.more.load(Relaxed).checked_sub(1)
    }

    /// Fills a free slot and opens it. `rest` is the free slot for text that does not fit, with
    /// its index in the ledger.
    pub(crate) fn open(
        &'static self,
        opening: &Opening<'_>,
        rest: Option<(&'static Self, u32)>,
    ) -> SessionRef {
        let generation = self.head().fill(State::Open, || {
            let (high, low) = opening.id.to_words();
            self.id[0].store(high, Relaxed);
            self.id[1].store(low, Relaxed);
            self.start_ms.store(opening.start_ms.cast_unsigned(), Relaxed);
            store_ip(&self.client_ip, opening.client.ip());
            for counter in
                [&self.bytes_sent, &self.bytes_received, &self.packets_sent, &self.packets_received]
            {
                counter.store(0, Relaxed);
            }
            self.last_activity_ms.store(opening.start_ms.cast_unsigned(), Relaxed);
            self.duration_ms.store(0, Relaxed);
            self.policy_generation.store(opening.policy_generation, Relaxed);
            self.store_kinds(opening);
            self.store_texts(opening, rest);
        });
        SessionRef { session: self, generation }
    }

    fn store_kinds(&self, opening: &Opening<'_>) {
        let mut present = if opening.accepted { PRESENT_ACCEPTED } else { 0 };
        let mut kinds = 0;
        let mut target_port = 0;
        if let Some((_, port)) = opening.target {
            present |= PRESENT_TARGET;
            target_port = port;
        }
        if let Some(command) = opening.command {
            kinds |= command_number(command) << COMMAND_SHIFT;
        }
        if let Some(ruling) = opening.ruling {
            present |= PRESENT_RULING;
            kinds |= decision_number(ruling.decision) << DECISION_SHIFT;
            if let Some(rule_id) = ruling.rule_id {
                present |= PRESENT_RULE_ID;
                self.rule_id.store(rule_id, Relaxed);
            }
        }
        let ports = (u32::from(opening.client.port()) << 16) | u32::from(target_port);
        self.ports.store(ports, Relaxed);
        self.kinds.store(kinds, Relaxed);
        self.present.store(present, Relaxed);
    }

    fn store_texts(&self, opening: &Opening<'_>, rest: Option<(&'static Self, u32)>) {
        let mut buffer = [0u8; TEXT_MAX];
        let mut used = 0;
        let mut lengths = 0u32;
        let room = if rest.is_some() { TEXT_MAX } else { TEXT_OCTETS };
        for (index, text) in texts(opening).into_iter().enumerate() {
            let length = floor_char_boundary(text, room - used);
            buffer[used..used + length].copy_from_slice(&text.as_bytes()[..length]);
            used += length;
            #[expect(clippy::cast_possible_truncation, reason = "texts() cuts at 255")]
            let length = length as u32;
            lengths |= length << (8 * index);
        }
        self.lengths.store(lengths, Relaxed);
        let (own, further) = buffer.split_at(TEXT_OCTETS);
        store_words(&self.text, &own[..used.min(TEXT_OCTETS)]);
        match rest {
            Some((slot, index)) => {
                slot.head().fill(State::Continued, || {
                    store_words(&slot.text, &further[..used.saturating_sub(TEXT_OCTETS)]);
                });
                self.more.store(index + 1, Relaxed);
            }
            None => self.more.store(0, Relaxed),
        }
    }

    /// Copies what the slot holds, if it still is the given use of it.
    pub(crate) fn copy(&self, generation: u32, rest: Option<&Self>) -> Option<Copied> {
        self.head().read(generation, |settled| self.copy_words(settled, rest))
    }

    fn copy_words(&self, settled: bool, rest: Option<&Self>) -> Copied {
        let present = self.present.load(Acquire);
        let has = |bit: u32| present & bit != 0;
        let kinds = self.kinds.load(Relaxed);
        let ports = self.ports.load(Relaxed);
        let stage =
            |index: usize| has(PRESENT_STAGE << index).then(|| self.stages_us[index].load(Relaxed));
        let tcp = |index: usize, bit: u32| {
            has(bit)
                .then(|| (self.rtt_us[index].load(Relaxed), self.retransmits[index].load(Relaxed)))
        };
        #[expect(clippy::cast_possible_truncation, reason = "half of a word is meant")]
        let (client_port, target_port) = ((ports >> 16) as u16, ports as u16);
        // Behind the last text stands what is of no session.
        let lengths = self.lengths.load(Relaxed).to_le_bytes();
        let used = lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
        let used = used.next_multiple_of(8).min(TEXT_MAX);
        let mut text = [0u8; TEXT_MAX];
        load_words(&self.text, &mut text[..used.min(TEXT_OCTETS)]);
        if let Some(rest) = rest {
            load_words(&rest.text, &mut text[TEXT_OCTETS..used.max(TEXT_OCTETS)]);
        }
        Copied {
            id: SessionId::from_words(self.id[0].load(Relaxed), self.id[1].load(Relaxed)),
            start_ms: self.start_ms.load(Relaxed).cast_signed(),
            client: SocketAddr::new(load_ip(&self.client_ip), client_port),
            target_port: has(PRESENT_TARGET).then_some(target_port),
            resolved: has(PRESENT_RESOLVED).then(|| load_ip(&self.resolved_ip)),
            traffic: Traffic {
                bytes_sent: self.bytes_sent.load(Relaxed),
                bytes_received: self.bytes_received.load(Relaxed),
                packets_sent: self.packets_sent.load(Relaxed),
                packets_received: self.packets_received.load(Relaxed),
            },
            last_activity_ms: self.last_activity_ms.load(Relaxed).cast_signed(),
            policy_generation: self.policy_generation.load(Relaxed),
            accepted: has(PRESENT_ACCEPTED),
            command: command_from(kinds >> COMMAND_SHIFT),
            decision: decision_from(kinds >> DECISION_SHIFT).filter(|_| has(PRESENT_RULING)),
            rule_id: has(PRESENT_RULE_ID).then(|| self.rule_id.load(Relaxed)),
            stages: Stages {
                auth_us: stage(0),
                resolve_us: stage(1),
                connect_us: stage(2),
                first_byte_us: stage(3),
            },
            client_tcp: tcp(0, PRESENT_CLIENT_TCP),
            upstream_tcp: tcp(1, PRESENT_UPSTREAM_TCP),
            detail: if has(PRESENT_CLIENTS) {
                Some(Detail::clients(load_pair(&self.detail)))
            } else {
                has(PRESENT_ASKED_FROM).then(|| Detail::asked_from(load_pair(&self.detail)))
            },
            ending: settled
                .then(|| {
                    Outcome::from_number((kinds >> OUTCOME_SHIFT).to_le_bytes()[0]).map(|outcome| {
                        Ending {
                            outcome,
                            relayed: has(PRESENT_RELAYED),
                            duration_ms: self.duration_ms.load(Relaxed),
                        }
                    })
                })
                .flatten(),
            lengths,
            text,
        }
    }
}

/// A consistent copy of a slot, text still as octets.
pub(crate) struct Copied {
    pub(crate) id: SessionId,
    pub(crate) start_ms: i64,
    pub(crate) client: SocketAddr,
    pub(crate) target_port: Option<u16>,
    pub(crate) resolved: Option<IpAddr>,
    pub(crate) traffic: Traffic,
    pub(crate) last_activity_ms: i64,
    pub(crate) policy_generation: u64,
    pub(crate) accepted: bool,
    pub(crate) command: Option<Command>,
    pub(crate) decision: Option<Decision>,
    pub(crate) rule_id: Option<u32>,
    pub(crate) stages: Stages,
    pub(crate) client_tcp: Option<(u32, u32)>,
    pub(crate) upstream_tcp: Option<(u32, u32)>,
    pub(crate) detail: Option<Detail>,
    pub(crate) ending: Option<Ending>,
    pub(crate) lengths: [u8; 4],
    pub(crate) text: [u8; TEXT_MAX],
}

fn texts<'a>(opening: &Opening<'a>) -> [&'a str; 4] {
    [
        opening.user,
        opening.target.map_or("", |(host, _)| host),
        opening.claimed_user.unwrap_or(""),
        opening.ruling.map_or("", |ruling| &ruling.rule),
    ]
    .map(|text| &text[..floor_char_boundary(text, 255)])
}

/// The longest prefix of at most `max` octets that ends between two characters.
fn floor_char_boundary(text: &str, max: usize) -> usize {
    if text.len() <= max {
        return text.len();
    }
    (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn store_ip(words: &[AtomicU64; 2], ip: IpAddr) {
    store_pair(words, ip_words(ip));
}

fn load_ip(words: &[AtomicU64; 2]) -> IpAddr {
    ip_from(load_pair(words))
}

fn store_pair(words: &[AtomicU64; 2], values: [u64; 2]) {
    words[0].store(values[0], Relaxed);
    words[1].store(values[1], Relaxed);
}

fn load_pair(words: &[AtomicU64; 2]) -> [u64; 2] {
    [words[0].load(Relaxed), words[1].load(Relaxed)]
}

fn store_words(words: &[AtomicU64; TEXT_WORDS], octets: &[u8]) {
    for (word, chunk) in words.iter().zip(octets.chunks(8)) {
        let mut padded = [0u8; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(padded), Relaxed);
    }
}

fn load_words(words: &[AtomicU64; TEXT_WORDS], octets: &mut [u8]) {
    for (word, chunk) in words.iter().zip(octets.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes());
    }
}

const fn command_number(command: Command) -> u32 {
    match command {
        Command::Connect => 1,
        Command::Bind => 2,
        Command::UdpAssociate => 3,
    }
}

const fn command_from(number: u32) -> Option<Command> {
    match number & 0xff {
        1 => Some(Command::Connect),
        2 => Some(Command::Bind),
        3 => Some(Command::UdpAssociate),
        _ => None,
    }
}

const fn decision_number(decision: Decision) -> u32 {
    match decision {
        Decision::Allow => 1,
        Decision::Block => 2,
    }
}

const fn decision_from(number: u32) -> Option<Decision> {
    match number & 0xff {
        1 => Some(Decision::Allow),
        2 => Some(Decision::Block),
        _ => None,
    }
}

//! An association with everything that comes to it: datagrams of its client and of strangers, answers to
//! its questions, datagrams of targets, time, and other rules.
#![no_main]

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustsocks::auth::Identity;
use rustsocks::resolve::{Addresses, LookupError};
use rustsocks::socks::{
    BadDatagram, Command, CommandSet, DATAGRAM_HEADER_OCTETS_MAX, Datagram, MethodSet,
};
use rustsocks::target::{Host, Target};
use rustsocks::udp::{Association, Question, Step};
use rustsocks_fuzz::{moment, policy_with, reachable};

const CLIENT: [u8; 4] = [198, 51, 100, 7];

fuzz_target!(|input: &[u8]| {
    let Some((first, mut rest)) = input.split_first() else { return };
    split(rest);
    let declared = if first & 1 == 0 { 0 } else { 7001 };
    let mut world = World {
        association: Association::new(
            CLIENT.into(),
            declared,
            Identity::anonymous("anonymous"),
            policy_with(MethodSet::NO_AUTH, associate(), true),
        ),
        declared,
        now: moment(),
        pinned: None,
        guarded: true,
        waiting: HashMap::new(),
        queries: HashSet::new(),
        written: HashMap::new(),
    };
    while let Some(([what, length], behind)) = rest.split_first_chunk() {
        let (octets, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        world.step(*what, octets);
    }
});

fn associate() -> CommandSet {
    CommandSet::NONE.with(Command::UdpAssociate)
}

struct World {
    association: Association,
    declared: u16,
    now: std::time::Instant,
    pinned: Option<SocketAddr>,
    guarded: bool,
    /// What waits for the answer to a question.
    waiting: HashMap<u32, Vec<Vec<u8>>>,
    queries: HashSet<u32>,
    /// Hosts that were sent to, and when there was last a sign of life.
    written: HashMap<IpAddr, std::time::Instant>,
}

impl World {
    fn step(&mut self, what: u8, octets: &[u8]) {
        match what & 7 {
            0..=2 => {
                let port = [7000, 7001, 7002][usize::from(what & 3)];
                let ip = if what & 8 == 0 { CLIENT } else { [198, 51, 100, 8] };
                self.upload(SocketAddr::from((ip, port)), octets);
            }
            3 => self.answer(octets),
            4 => self.download(octets),
            5 => self.now += Duration::from_millis(u64::from(what) << (octets.len() & 15)),
            6 => {
                self.guarded = what & 8 == 0;
                // Another generation each time it is another rule.
                let mut policy = policy_with(MethodSet::NO_AUTH, associate(), self.guarded);
                let inner = std::sync::Arc::get_mut(&mut policy).expect("not shared yet");
                inner.generation = if self.guarded { 1 } else { 2 };
                let _stays = self.association.renew(&policy, self.now);
            }
            _ => {
                if let Ok(datagram) = Datagram::split(octets) {
                    // As that of a target by its address, or of one that has another by now.
                    let address = datagram.target().ok().and_then(|target| target.host.ip());
                    let address = address.unwrap_or(CLIENT.into());
                    let passed = self.association.pass_over(octets, address, self.now);
                    assert!(!passed || datagram.target().is_ok());
                }
            }
        }
    }

    fn upload(&mut self, source: SocketAddr, octets: &[u8]) {
        let may = source.ip() == IpAddr::from(CLIENT)
            && match self.pinned {
                Some(pinned) => pinned == source,
                None => self.declared == 0 || self.declared == source.port(),
            };
        if may && Datagram::split(octets).is_ok() {
            self.pinned = Some(source);
        }
        let step = self.association.upload(source, octets, self.now);
        assert!(may || matches!(step, Step::Drop(_)), "a stranger is served");
        let sent = look(&step, octets, self.guarded);
        self.keep(&sent, octets);
    }

    /// Books what became of a datagram of the client.
    fn keep(&mut self, seen: &Look, octets: &[u8]) {
        match *seen {
            Look::Sent(to) => {
                self.association.wrote(to, self.now);
                self.written.insert(to.to_canonical(), self.now);
            }
            Look::Asked(query) => {
                assert!(self.queries.insert(query), "a question's number is used twice");
                self.waiting.entry(query).or_default().push(octets.to_vec());
            }
            Look::Kept => {
                // It waits for one of the open questions; which one only the answer shows.
                self.waiting.entry(SOME).or_default().push(octets.to_vec());
            }
            Look::Dropped => {}
        }
        let waiting: usize = self.waiting.values().map(Vec::len).sum();
        assert!(waiting <= 32, "{waiting} datagrams wait");
    }

    fn answer(&mut self, octets: &[u8]) {
        let Some((which, addresses)) = octets.split_first() else { return };
        let answer = match which & 3 {
            0 => Err(LookupError::NotFound),
            _ => Ok(addresses
                .as_chunks::<4>()
                .0
                .iter()
                .map(|ip| IpAddr::from(*ip))
                .take(4)
                .chain([IpAddr::from([203, 0, 113, 9])])
                .collect::<Addresses>()),
        };
        let query = u32::from(which >> 2);
        // The other half of the name is still to come.
        let more = which & 3 == 3;
        let kept = self.association.answered(query, answer, more, self.now);
        assert!(kept.is_empty() || self.queries.contains(&query), "nobody asked that");
        if more && kept.is_empty() {
            return;
        }
        let asked = self.waiting.remove(&query).unwrap_or_default();
        assert!(kept.len() >= asked.len(), "a datagram that waited is lost");
        for (at, octets) in kept.iter().enumerate() {
            // The one that asked comes first, behind it those that came to wait beside it.
            if let Some(first) = asked.get(at) {
                assert_eq!(&**octets, first.as_slice());
            } else if let Some(others) = self.waiting.get_mut(&SOME) {
                let place = others.iter().position(|other| other.as_slice() == &**octets);
                others.remove(place.expect("a datagram that nobody sent"));
            } else {
                panic!("a datagram that nobody sent");
            }
        }
        for octets in kept {
            let step = self.association.upload_kept(&octets, self.now);
            let seen = look(&step, &octets, self.guarded);
            self.keep(&seen, &octets);
        }
    }

    fn download(&mut self, octets: &[u8]) {
        let Some(ip) = octets.first_chunk::<4>() else { return };
        let source = SocketAddr::from((*ip, 53));
        // RFC 4787 §4.3: five minutes.
        let known = self.written.get(&source.ip());
        let may = known.is_some_and(|last| self.now - *last < Duration::from_mins(5));
        match self.association.download(source, self.now) {
            Ok(client) => {
                assert!(may, "{source} was not written to");
                assert_eq!(Some(client), self.pinned);
                self.written.insert(source.ip(), self.now);
            }
            Err(_) => {
                // More hosts than are remembered.
                assert!(!may || self.written.len() > 256, "{source} may answer");
            }
        }
    }
}

/// In the place of a question that is not known; `answer` cannot name it.
const SOME: u32 = u32::MAX;

/// What became of a datagram.
enum Look {
    Sent(IpAddr),
    Asked(u32),
    Kept,
    Dropped,
}

fn look(step: &Step<'_>, octets: &[u8], guarded: bool) -> Look {
    match step {
        Step::Send { permit, target, payload, beside, .. } => {
            if let Some(Question { name, .. }) = beside {
                assert_eq!(target.host, Host::Name(name.clone()));
            }
            let datagram = Datagram::split(octets).expect("it was sent");
            assert_eq!(*payload, datagram.payload);
            assert_eq!(Ok(*target), datagram.target().as_ref());
            assert_eq!(permit.address().port(), target.port);
            let ip = permit.address().ip();
            assert!(!guarded || reachable(ip), "{ip} is not for this client");
            if let Some(asked) = target.host.ip() {
                assert_eq!(asked.to_canonical(), ip, "sent to another address");
            }
            Look::Sent(ip)
        }
        Step::Ask(Question { query, name }) => {
            let target = Datagram::split(octets).expect("it is kept").target().expect("a name");
            assert_eq!(target.host, Host::Name(name.clone()));
            Look::Asked(*query)
        }
        Step::Kept => Look::Kept,
        Step::Drop(_) => Look::Dropped,
    }
}

/// The header alone.
fn split(octets: &[u8]) {
    match Datagram::split(octets) {
        Ok(datagram) => {
            let header = octets.len() - datagram.payload.len();
            assert_eq!(&octets[header..], datagram.payload);
            assert_eq!(&octets[3..header], datagram.address);
            for length in 0..header {
                assert_eq!(Datagram::split(&octets[..length]), Err(BadDatagram::Short));
            }
            if let Ok(Target { host: Host::V4(_) | Host::V6(_), .. }) = datagram.target() {
                back(datagram.target().expect("just read"));
            }
        }
        Err(BadDatagram::Fragment(fragment)) => assert_eq!(octets[2], fragment),
        Err(BadDatagram::Short) => {}
        Err(BadDatagram::Address(_)) => {
            for length in 0..4 {
                assert_eq!(Datagram::split(&octets[..length]), Err(BadDatagram::Short));
            }
        }
    }
}

/// The header towards a client, read as if the client had sent it.
fn back(target: Target) {
    let source = target.socket_addr().expect("an address");
    let mut room = [0xaa; DATAGRAM_HEADER_OCTETS_MAX];
    let start = Datagram::write_header(source, &mut room);
    assert!(room[..start].iter().all(|octet| *octet == 0xaa), "written out of its place");
    let whole = [&room[start..], b"data"].concat();
    let datagram = Datagram::split(&whole).expect("our own header");
    assert_eq!(datagram.payload, b"data");
    let read = datagram.target().expect("our own address").socket_addr();
    assert_eq!(read, Some(SocketAddr::new(source.ip().to_canonical(), source.port())));
}

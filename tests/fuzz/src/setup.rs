//! The world of a conversation, told by the first three octets of an input.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use rustsocks::acl::{Acl, Guard, OwnListeners};
use rustsocks::clock;
use rustsocks::connection::ConnectError;
use rustsocks::policy::Policy;
use rustsocks::resolve::{Addresses, LookupError};
use rustsocks::socks::{Command, CommandSet, Method, MethodSet};

/// The policy, what the world answers, and how the octets are cut.
#[derive(Clone, Debug)]
pub struct Setup {
    pub policy: Arc<Policy>,
    pub client: IpAddr,
    pub guarded: bool,
    /// Whether the connection begins with a PROXY protocol header.
    pub announced: bool,
    answers: u8,
    cut: u8,
}

impl Setup {
    /// Takes the world off the front of an input.
    pub fn split(input: &[u8]) -> Option<(Self, &[u8])> {
        let ([policy, answers, cut], octets) = input.split_first_chunk()?;
        let methods = match policy & 3 {
            0 => MethodSet::NO_AUTH,
            1 => MethodSet::USERPASS,
            2 => MethodSet::NO_AUTH.with(Method::UserPass),
            _ => MethodSet::EMPTY,
        };
        let all = CommandSet::NONE.with(Command::Connect);
        let all = if policy & 4 == 0 { all.with(Command::UdpAssociate) } else { all };
        let commands = if policy & 8 == 0 { all } else { all.with(Command::Bind) };
        let client = if policy & 16 == 0 { [198, 51, 100, 7] } else { [127, 0, 0, 1] };
        let setup = Self {
            policy: policy_with(methods, commands, policy & 64 == 0),
            client: client.into(),
            guarded: policy & 64 == 0,
            announced: policy & 32 != 0,
            answers: *answers,
            cut: *cut,
        };
        Some((setup, octets))
    }

    pub fn accepts_login(&self) -> bool {
        self.answers & 1 == 0
    }

    pub fn makes_socket(&self) -> bool {
        self.answers & 2 == 0
    }

    /// Whether names become known in two halves.
    pub fn halves(&self) -> bool {
        self.cut & 1 == 1
    }

    pub fn addresses(&self) -> Result<Addresses, LookupError> {
        let list: &[IpAddr] = match self.answers >> 2 & 7 {
            0 | 1 => &[IpAddr::V4(PUBLIC)],
            2 => &[IpAddr::V4(LOOPBACK), IpAddr::V4(PUBLIC)],
            3 => &[IpAddr::V4(LOOPBACK)],
            4 => return Err(LookupError::NotFound),
            5 => return Err(LookupError::TimedOut),
            6 => return Err(LookupError::Overloaded),
            _ => return Err(LookupError::Failed),
        };
        Ok(list.iter().copied().collect())
    }

    /// How an attempt ends: it succeeds, fails, or says nothing.
    pub fn attempt(&self) -> Option<Result<(), ConnectError>> {
        match self.answers >> 5 {
            0..=3 => Some(Ok(())),
            4 => Some(Err(ConnectError::Refused)),
            5 => Some(Err(ConnectError::HostUnreachable)),
            6 => Some(Err(ConnectError::NoRoom)),
            _ => None,
        }
    }

    /// Lengths of the pieces in which the octets come.
    pub fn pieces(&self) -> impl Iterator<Item = usize> + use<> {
        let mut state = u32::from(self.cut) | 0x100;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            1 + (state >> 24) as usize % 23
        })
    }
}

/// Whether a client of a public address may be connected to this one; said here in other words than in
/// the guard.
pub fn reachable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => !(ip.is_loopback()
            || ip.is_private()
            || ip.is_link_local()
            || ip.is_multicast()
            || ip.is_broadcast()
            || ip.octets()[0] == 0
            || ip.octets()[0] >= 240
            || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64)),
        IpAddr::V6(ip) => !(ip.is_loopback()
            || ip.is_unspecified()
            || ip.is_multicast()
            || ip.is_unique_local()
            || ip.is_unicast_link_local()),
    }
}

/// Whether a client of this address is on no network of ours, as far as that is plain: an IPv6 address may
/// hold an IPv4 one in many ways.
pub fn is_public(client: IpAddr) -> bool {
    match client.to_canonical() {
        IpAddr::V4(_) => reachable(client),
        IpAddr::V6(ip) => ip.segments()[0] > 0x2002 && reachable(client),
    }
}

/// One moment for all conversations, so that they can be compared.
pub fn moment() -> Instant {
    static MOMENT: LazyLock<Instant> = LazyLock::new(clock::mono);
    *MOMENT
}

/// A policy like that of a configuration.
pub fn policy_with(methods: MethodSet, commands: CommandSet, guarded: bool) -> Arc<Policy> {
    let guard = if guarded { Guard::Auto(OwnListeners::default()) } else { Guard::Off };
    Arc::new(Policy { methods, commands, acl: Acl::new(guard), ..Policy::plain() })
}

const PUBLIC: std::net::Ipv4Addr = std::net::Ipv4Addr::new(203, 0, 113, 9);
const LOOPBACK: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;

//! The request: RFC 1928 section 4.
//!
//! ```text
//! VER=5  CMD  RSV  ATYP  DST.ADDR  DST.PORT
//!     1    1    1     1     4..256         2
//! ```
//!
//! RSV must be zero, but its value is ignored: it means nothing, no client gains by another value,
//! and some send what their buffer held.

use super::VERSION;
use super::address;
use super::cursor::{Cursor, Stop};
use super::malformed::Malformed;
use crate::target::Target;

/// What a client wants done with its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    /// X'01': a connection to the target.
    Connect = 0x01,
    /// X'02': a connection from the target.
    Bind = 0x02,
    /// X'03': datagrams; the target is where the client will send from, often all zeros.
    UdpAssociate = 0x03,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Connect, Self::Bind, Self::UdpAssociate];

    const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            0x01 => Some(Self::Connect),
            0x02 => Some(Self::Bind),
            0x03 => Some(Self::UdpAssociate),
            _ => None,
        }
    }

    /// The word for it in configurations and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Bind => "bind",
            Self::UdpAssociate => "udp_associate",
        }
    }

    /// The command of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.as_str() == word)
    }
}

/// Some of the commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CommandSet(u8);

impl CommandSet {
    /// None.
    pub const NONE: Self = Self(0);

    /// All.
    pub const ALL: Self =
        Self::NONE.with(Command::Connect).with(Command::Bind).with(Command::UdpAssociate);

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, command: Command) -> Self {
        Self(self.0 | 1 << command as u8)
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn contains(self, command: Command) -> bool {
        self.0 & (1 << command as u8) != 0
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = Command> {
        Command::ALL.into_iter().filter(move |command| self.contains(*command))
    }
}

/// A request, complete and possible; whether it is permitted is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// CMD.
    pub command: Command,
    /// DST.ADDR and DST.PORT.
    pub target: Target,
}

impl Request {
    /// The longest request, in octets.
    pub(super) const OCTETS_MAX: usize = 3 + address::OCTETS_MAX;

    /// Reads one request. The command is judged last, when all of the request was received, so that
    /// the client has no octets on their way when it is refused and we hang up.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        let version = cursor.octet()?;
        if version != VERSION {
            return Err(Malformed::RequestVersion(version).into());
        }
        let [command, _reserved] = cursor.array()?;
        let target = address::parse(cursor)?;
        let command = Command::from_octet(command).ok_or(Malformed::Command(command))?;
        Ok(Self { command, target })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::address::tests::{any_target, written};
    use super::*;

    fn parse(octets: &[u8]) -> Result<Request, Stop> {
        Request::parse(&mut Cursor::new(octets))
    }

    #[test]
    fn a_set_contains_what_was_put_in() {
        let set = CommandSet::NONE.with(Command::Connect).with(Command::UdpAssociate);
        assert!(set.contains(Command::Connect) && set.contains(Command::UdpAssociate));
        assert!(!set.contains(Command::Bind) && !CommandSet::NONE.contains(Command::Connect));
    }

    #[test]
    fn another_version_is_known_by_its_first_octet() {
        assert_eq!(parse(&[4]), Err(Malformed::RequestVersion(4).into()));
    }

    #[test]
    fn an_unknown_command_is_judged_when_all_is_here() {
        let whole = [5, 9, 0, 1, 192, 0, 2, 1, 0, 80];
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Err(Stop::Incomplete));
        }
        assert_eq!(parse(&whole), Err(Malformed::Command(9).into()));
    }

    #[test]
    fn an_unknown_address_type_is_judged_at_once() {
        assert_eq!(parse(&[5, 1, 0, 2]), Err(Malformed::AddressType(2).into()));
    }

    #[test]
    fn the_longest_request_is_what_the_constant_says() {
        let target = [[3, 255].as_slice(), &[b'a'; 255], &[0, 80]].concat();
        let whole = [[5, 1, 0].as_slice(), &target].concat();
        assert_eq!(whole.len(), Request::OCTETS_MAX);
        assert!(parse(&whole).is_ok());
    }

    proptest! {
        #[test]
        fn any_request_is_read_back_and_every_prefix_is_incomplete(
            command in prop_oneof![
                Just(Command::Connect),
                Just(Command::Bind),
                Just(Command::UdpAssociate),
            ],
            reserved: u8,
            target in any_target(),
            behind: [u8; 3],
        ) {
            let whole = [[5, command as u8, reserved].as_slice(), &written(&target)].concat();
            for length in 0..whole.len() {
                prop_assert_eq!(parse(&whole[..length]), Err(Stop::Incomplete));
            }
            let more = [whole.as_slice(), &behind].concat();
            let mut cursor = Cursor::new(&more);
            prop_assert_eq!(Request::parse(&mut cursor), Ok(Request { command, target }));
            prop_assert_eq!(cursor.used(), whole.len());
        }
    }
}

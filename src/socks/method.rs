//! Methods of authentication, and the choice among them: RFC 1928 section 3.
//!
//! ```text
//! client   VER=5  NMETHODS  METHODS…          server   VER=5  METHOD
//!              1         1    0..255                       1       1
//! ```

use super::VERSION;
use super::cursor::{Cursor, Stop};
use super::malformed::Malformed;
use super::outbox::Outbox;

/// A method of authentication that this server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// X'00': nobody has to say who they are.
    NoAuth = 0x00,
    /// X'02': user name and password (RFC 1929).
    UserPass = 0x02,
}

impl Method {
    /// The server's order: of two possible methods, the one that tells us who the client is.
    const BY_PREFERENCE: [Self; 2] = [Self::UserPass, Self::NoAuth];

    const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            0x00 => Some(Self::NoAuth),
            0x02 => Some(Self::UserPass),
            _ => None,
        }
    }
}

/// A set of [`Method`]s: those a server accepts, or those of a client's offer that we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MethodSet(u8);

impl MethodSet {
    /// No method; a server with this set serves nobody.
    pub const EMPTY: Self = Self(0);
    /// [`Method::NoAuth`] alone.
    pub const NO_AUTH: Self = Self::EMPTY.with(Method::NoAuth);
    /// [`Method::UserPass`] alone.
    pub const USERPASS: Self = Self::EMPTY.with(Method::UserPass);

    /// The set and this method.
    #[must_use]
    pub const fn with(self, method: Method) -> Self {
        Self(self.0 | 1 << method as u8)
    }

    /// Whether the method is in the set.
    #[must_use]
    pub const fn contains(self, method: Method) -> bool {
        self.0 & 1 << method as u8 != 0
    }

    /// The method that a server accepting this set uses with a client offering that one.
    #[must_use]
    pub fn choose(self, offered: Self) -> Option<Method> {
        let both = Self(self.0 & offered.0);
        Method::BY_PREFERENCE.into_iter().find(|&method| both.contains(method))
    }

    /// Reads a greeting. Methods we do not speak, or that come twice, are passed over.
    pub(super) fn parse_greeting(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        let version = cursor.octet()?;
        if version != VERSION {
            return Err(Malformed::Version(version).into());
        }
        let methods = cursor.counted()?.iter().filter_map(|&octet| Method::from_octet(octet));
        Ok(methods.fold(Self::EMPTY, Self::with))
    }
}

/// Octets of the server's choice.
pub(super) const CHOICE_OCTETS: usize = 2;

/// X'FF': no acceptable methods.
const NO_ACCEPTABLE: u8 = 0xff;

/// Writes the server's choice, `None` being "no acceptable methods".
pub(super) fn write_choice(choice: Option<Method>, out: &mut Outbox) {
    let reply: [u8; CHOICE_OCTETS] = [VERSION, choice.map_or(NO_ACCEPTABLE, |method| method as u8)];
    out.push(&reply);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: MethodSet = MethodSet::NO_AUTH.with(Method::UserPass);

    fn greeting(octets: &[u8]) -> Result<MethodSet, Stop> {
        MethodSet::parse_greeting(&mut Cursor::new(octets))
    }

    #[test]
    fn the_servers_order_decides() {
        assert_eq!(BOTH.choose(BOTH), Some(Method::UserPass));
        assert_eq!(BOTH.choose(MethodSet::NO_AUTH), Some(Method::NoAuth));
        assert_eq!(MethodSet::NO_AUTH.choose(BOTH), Some(Method::NoAuth));
        assert_eq!(MethodSet::USERPASS.choose(BOTH), Some(Method::UserPass));
        assert_eq!(MethodSet::USERPASS.choose(MethodSet::NO_AUTH), None);
        assert_eq!(MethodSet::EMPTY.choose(BOTH), None);
        assert_eq!(BOTH.choose(MethodSet::EMPTY), None);
    }

    #[test]
    fn an_offer_keeps_only_what_we_speak() {
        assert_eq!(greeting(&[5, 4, 0x01, 0x02, 0x80, 0x02]), Ok(MethodSet::USERPASS));
        assert_eq!(greeting(&[5, 2, 0x02, 0x00]), Ok(BOTH));
        assert_eq!(greeting(&[5, 0]), Ok(MethodSet::EMPTY));
        let all: Vec<u8> = [5, 255].into_iter().chain(0..=254).collect();
        assert_eq!(greeting(&all), Ok(BOTH));
    }

    #[test]
    fn another_version_is_known_by_its_first_octet() {
        assert_eq!(greeting(b"G"), Err(Malformed::Version(b'G').into()));
        assert_eq!(greeting(&[4]), Err(Malformed::Version(4).into()));
    }

    #[test]
    fn a_prefix_is_incomplete() {
        let whole = [5, 3, 0, 1, 2];
        for length in 0..whole.len() {
            assert_eq!(greeting(&whole[..length]), Err(Stop::Incomplete));
        }
    }

    #[test]
    fn the_choice_is_written_with_its_version() {
        let mut out = Outbox::new();
        write_choice(Some(Method::UserPass), &mut out);
        write_choice(Some(Method::NoAuth), &mut out);
        write_choice(None, &mut out);
        assert_eq!(out.pending(), [5, 2, 5, 0, 5, 0xff]);
    }
}

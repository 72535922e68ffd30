//! User name and password: RFC 1929 section 2.
//!
//! ```text
//! client   VER=1  ULEN  UNAME   PLEN  PASSWD      server   VER=1  STATUS
//!              1     1  0..255     1  0..255                   1       1
//! ```
//!
//! The RFC gives both texts at least one octet. Empty ones are read all the same: no user has them,
//! so the attempt fails, and is recorded, as any other wrong password.

use std::fmt;

use zeroize::Zeroizing;

use super::cursor::{Cursor, Stop};
use super::malformed::Malformed;
use super::outbox::Outbox;

/// What a client claims to be, and its proof. The password is wiped when this is dropped, and never
/// shown.
///
/// The octets it was read from are the caller's to wipe.
pub struct UserPass {
    /// The claimed name, 0 to 255 octets, not necessarily text.
    pub username: Box<[u8]>,
    /// The password, 0 to 255 octets.
    pub password: Zeroizing<Vec<u8>>,
}

impl UserPass {
    /// The longest message, in octets.
    pub(super) const OCTETS_MAX: usize = 1 + 1 + 255 + 1 + 255;

    /// Reads one message.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        let version = cursor.octet()?;
        if version != VERSION {
            return Err(Malformed::UserPassVersion(version).into());
        }
        let username = cursor.counted()?;
        let password = cursor.counted()?;
        Ok(Self { username: username.into(), password: Zeroizing::new(password.to_vec()) })
    }
}

impl fmt::Debug for UserPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserPass")
            .field("username", &format_args!("\"{}\"", self.username.escape_ascii()))
            .finish_non_exhaustive()
    }
}

/// VER of the sub-negotiation, which has its own count.
const VERSION: u8 = 0x01;

/// Octets of the status.
pub(super) const STATUS_OCTETS: usize = 2;

/// Writes the status; after a failure the server must close the connection.
pub(super) fn write_status(accepted: bool, out: &mut Outbox) {
    let status: [u8; STATUS_OCTETS] = [VERSION, u8::from(!accepted)];
    out.push(&status);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(octets: &[u8]) -> Result<UserPass, Stop> {
        UserPass::parse(&mut Cursor::new(octets))
    }

    fn message(username: &[u8], password: &[u8]) -> Vec<u8> {
        let length = |text: &[u8]| [u8::try_from(text.len()).unwrap()];
        [[1].as_slice(), &length(username), username, &length(password), password].concat()
    }

    #[test]
    fn another_version_is_known_by_its_first_octet() {
        assert_eq!(parse(&[5]).unwrap_err(), Malformed::UserPassVersion(5).into());
    }

    #[test]
    fn empty_texts_are_read() {
        let empty = parse(&message(b"", b"")).unwrap();
        assert!(empty.username.is_empty() && empty.password.is_empty());
    }

    #[test]
    fn the_longest_message_is_what_the_constant_says() {
        assert_eq!(message(&[b'u'; 255], &[b'p'; 255]).len(), UserPass::OCTETS_MAX);
    }

    #[test]
    fn the_password_is_never_shown() {
        let shown = format!("{:?}", parse(&message(b"al\nice", b"secret")).unwrap());
        assert_eq!(shown, r#"UserPass { username: "al\nice", .. }"#);
    }

    #[test]
    fn the_status_is_zero_for_success_only() {
        let mut out = Outbox::new();
        write_status(true, &mut out);
        write_status(false, &mut out);
        assert_eq!(out.pending(), [1, 0, 1, 1]);
    }

    proptest! {
        #[test]
        fn any_texts_are_read_back_and_every_prefix_is_incomplete(
            username in proptest::collection::vec(any::<u8>(), 0..=255),
            password in proptest::collection::vec(any::<u8>(), 0..=255),
            behind: [u8; 3],
        ) {
            let whole = message(&username, &password);
            for length in 0..whole.len() {
                prop_assert_eq!(parse(&whole[..length]).unwrap_err(), Stop::Incomplete);
            }
            let more = [whole.as_slice(), &behind].concat();
            let mut cursor = Cursor::new(&more);
            let read = UserPass::parse(&mut cursor).unwrap();
            prop_assert_eq!(cursor.used(), whole.len());
            prop_assert_eq!(&*read.username, username.as_slice());
            prop_assert_eq!(&*read.password, &password);
        }
    }
}

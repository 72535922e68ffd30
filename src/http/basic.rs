//! Basic credentials: `Basic` and the base64 of `name:password` (RFC 7617 §2).

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::socks::UserPass;

/// Reads the value of Proxy-Authorization; `None` if it is not of this scheme, or not right.
pub(super) fn parse(value: &[u8]) -> Option<UserPass> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, coded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(Base64::decode_vec(coded.trim_matches(' ')).ok()?);
    let colon = decoded.iter().position(|octet| *octet == b':')?;
    let (name, password) = (&decoded[..colon], &decoded[colon + 1..]);
    // Longer ones than SOCKS can carry belong to nobody.
    if name.len() > 255 || password.len() > 255 {
        return None;
    }
    Some(UserPass { username: name.into(), password: Zeroizing::new(password.to_vec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_password_are_what_stands_around_the_first_colon() {
        // The example of RFC 7617 §2, and a password with a colon.
        let read = |value: &str| {
            parse(value.as_bytes()).map(|it| (it.username.to_vec(), it.password.to_vec()))
        };
        let aladdin = Some((b"Aladdin".to_vec(), b"open sesame".to_vec()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(read("bASIC  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), aladdin);
        assert_eq!(read("Basic YTpiOmM="), Some((b"a".to_vec(), b"b:c".to_vec())));
        for other in ["", "Basic", "Basic !", "Basic YQ==", "Bearer YTpi", "Digest username=\"a\""]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}

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
    use proptest::prelude::*;

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

    /// What a client with this name and password sends.
    fn written(name: &[u8], password: &[u8]) -> String {
        Base64::encode_string(&[name, b":", password].concat())
    }

    proptest! {
        #[test]
        fn any_credentials_are_read_back(
            name in prop::collection::vec(any::<u8>(), 0..=255),
            password in prop::collection::vec(any::<u8>(), 0..=255),
            scheme in "[bB][aA][sS][iI][cC]",
            (before, behind) in (1..3_usize, 0..3_usize),
        ) {
            let name: Vec<u8> = name.into_iter().filter(|octet| *octet != b':').collect();
            let (before, behind) = (" ".repeat(before), " ".repeat(behind));
            let value = format!("{scheme}{before}{}{behind}", written(&name, &password));
            let read = parse(value.as_bytes()).expect("credentials");
            prop_assert_eq!(&*read.username, &name);
            prop_assert_eq!(&**read.password, &password);
        }

        #[test]
        fn longer_ones_than_socks_can_carry_are_nobodys(over in 256..400_usize, other in 0..=255_usize) {
            let (long, short) = (vec![b'x'; over], vec![b'y'; other]);
            for (name, password) in [(&long, &short), (&short, &long)] {
                let value = format!("Basic {}", written(name, password));
                prop_assert!(parse(value.as_bytes()).is_none());
            }
        }

        #[test]
        fn no_octets_panic(octets: Vec<u8>, text in "Basic [A-Za-z0-9+/=]{0,40}") {
            drop(parse(&octets));
            drop(parse(&[b"Basic ", &octets[..]].concat()));
            if let Some(read) = parse(text.as_bytes()) {
                prop_assert!(!read.username.contains(&b':'));
            }
        }
    }
}

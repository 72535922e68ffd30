//! A password as it is kept: which kinds of hash we read, and how much they may cost.
//!
//! | begins with | what it is | who makes it |
//! |---|---|---|
//! | `$argon2id$` `$argon2i$` `$argon2d$` | Argon2 (RFC 9106), a PHC string | `rustsocks hash-password` |
//! | `$2b$` `$2y$` | bcrypt; looks at 72 octets of the password | `htpasswd -B` |
//! | `$5$` `$6$` | SHA-crypt | `openssl passwd -6`, crypt(3) |
//! | `$y$` | yescrypt, as crypt(5) prints it | Debian's `passwd`, `mkpasswd` |
//!
//! A hash says itself how much work it takes, so one line of a file could hold a thread for hours.
//! What takes more than a few seconds is refused where it is read. What is read is checked to the last
//! character, too: a hash whose end is missing must not match by having nothing to compare.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use password_hash::PasswordVerifier;
use password_hash::phc::PasswordHash;
use subtle::ConstantTimeEq;

use super::password::HashError;

/// The hash of a password, known to be one that can be verified.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StoredHash {
    kind: Kind,
    text: Box<str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Argon2,
    Bcrypt,
    ShaCrypt,
    Yescrypt,
}

impl StoredHash {
    /// Reads one.
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let mut fields = text.split('$');
        let (before, id) = (fields.next().unwrap_or_default(), fields.next());
        let (Some(id), true) = (id, before.is_empty()) else {
            return Err(HashError::Syntax("it does not begin with `$`".to_owned()));
        };
        let fields: Vec<_> = fields.collect();
        let kind = match id {
            "argon2id" | "argon2i" | "argon2d" => {
                check_argon2(text)?;
                Kind::Argon2
            }
            // What libxcrypt does otherwise for "2a" is for passwords that a broken implementation of
            // long ago made collide; for all others the three are the same.
            "2a" | "2b" | "2y" => {
                check_bcrypt(text, &fields)?;
                Kind::Bcrypt
            }
            "5" => check_sha_crypt(&fields, SHA256_CHARACTERS)?,
            "6" => check_sha_crypt(&fields, SHA512_CHARACTERS)?,
            "y" => check_yescrypt(&fields)?,
            "" => return Err(HashError::Syntax("its kind is missing".to_owned())),
            other => return Err(HashError::Kind(other.to_owned())),
        };
        Ok(Self { kind, text: text.into() })
    }

    /// It as text.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is the hash of this password; slow on purpose.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let text = &*self.text;
        let right = match self.kind {
            Kind::Argon2 => matches_argon2(password, text).unwrap_or(false),
            Kind::Bcrypt => bcrypt::verify(password, text).unwrap_or(false),
            Kind::ShaCrypt => sha_crypt::ShaCrypt::SHA512.verify_password(password, text).is_ok(),
            Kind::Yescrypt => yescrypt::Yescrypt::default().verify_password(password, text).is_ok(),
        };
        // For crypt(3) a password ends at its first NUL; bcrypt repeats it from there, so that "a" and
        // "a\0a" were the same.
        right && (self.kind == Kind::Argon2 || !password.contains(&0))
    }
}

impl fmt::Debug for StoredHash {
    /// Nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash(…)")
    }
}

/// `None` if there is no telling, which [`check_argon2`] rules out.
fn matches_argon2(password: &[u8], hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let (salt, expected) = (hash.salt.as_ref()?, hash.hash.as_ref()?);
    let blocks = params.block_count();
    let argon2 = Argon2::new(algorithm, version, params);
    let mut made = vec![0; expected.as_ref().len()];
    MEMORY.with_borrow_mut(|memory| {
        if memory.len() < blocks {
            memory.resize(blocks, Block::new());
        }
        let memory = memory.get_mut(..blocks)?;
        argon2.hash_password_into_with_memory(password, salt.as_ref(), &mut made, memory).ok()
    })?;
    Some(made.ct_eq(expected.as_ref()).into())
}

thread_local! {
    /// What a check works in (19 MiB for a hash with the defaults), kept for the next one of this
    /// thread. Taken and given back each time it would cut the allocator's heap into pieces, of which
    /// it then has several times as much.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

fn check_argon2(text: &str) -> Result<(), HashError> {
    let parsed = PasswordHash::new(text).map_err(|error| HashError::Syntax(error.to_string()))?;
    if parsed.hash.is_none() || parsed.salt.is_none() {
        return Err(HashError::Syntax("salt and hash are missing".to_owned()));
    }
    let params = Params::try_from(&parsed).map_err(|error| HashError::Syntax(error.to_string()))?;
    let passes = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_KIB_MAX || passes > ARGON2_KIB_PASSES_MAX {
        return Err(HashError::Cost(format!(
            "m={} KiB and t={}, expected m up to {ARGON2_KIB_MAX} and m × t up to \
             {ARGON2_KIB_PASSES_MAX}",
            params.m_cost(),
            params.t_cost()
        )));
    }
    Ok(())
}

fn check_bcrypt(text: &str, fields: &[&str]) -> Result<(), HashError> {
    let malformed = || HashError::Syntax("expected `$2b$COST$` and 53 characters".to_owned());
    let [cost, rest] = fields else { return Err(malformed()) };
    if rest.len() != BCRYPT_CHARACTERS || !is_crypt64(rest) || cost.len() != 2 {
        return Err(malformed());
    }
    let cost: u32 = cost.parse().map_err(|_| malformed())?;
    if !(4..=BCRYPT_COST_MAX).contains(&cost) {
        return Err(HashError::Cost(format!("cost {cost}, expected 4 to {BCRYPT_COST_MAX}")));
    }
    text.parse::<bcrypt::HashParts>().map_err(|error| HashError::Syntax(error.to_string()))?;
    Ok(())
}

fn check_sha_crypt(fields: &[&str], characters: usize) -> Result<Kind, HashError> {
    let (rounds, salt, hash) = match fields {
        [salt, hash] => (None, salt, hash),
        [rounds, salt, hash] => (Some(rounds), salt, hash),
        _ => return Err(HashError::Syntax("expected `$6$SALT$HASH`".to_owned())),
    };
    if let Some(rounds) = rounds {
        let rounds = rounds.strip_prefix("rounds=").and_then(|number| number.parse().ok());
        let Some(rounds) = rounds else {
            return Err(HashError::Syntax("expected `rounds=` and a number".to_owned()));
        };
        if !SHA_CRYPT_ROUNDS.contains(&rounds) {
            let (least, most) = (SHA_CRYPT_ROUNDS.start(), SHA_CRYPT_ROUNDS.end());
            let message = format!("{rounds} rounds, expected {least} to {most}");
            return Err(HashError::Cost(message));
        }
    }
    if !(1..=16).contains(&salt.len()) || !is_crypt64(salt) {
        return Err(HashError::Syntax("expected a salt of 1 to 16 characters".to_owned()));
    }
    if hash.len() != characters || !is_crypt64(hash) {
        return Err(HashError::Syntax(format!("expected a hash of {characters} characters")));
    }
    Ok(Kind::ShaCrypt)
}

fn check_yescrypt(fields: &[&str]) -> Result<Kind, HashError> {
    let [cost, salt, hash] = fields else {
        return Err(HashError::Syntax("expected `$y$COST$SALT$HASH`".to_owned()));
    };
    // Flags, log2 of N, and r, as crypt_gensalt(3) writes them. The longer forms let a hash ask for
    // more time than can be told from here.
    if cost.len() != 3 || !is_crypt64(cost) {
        return Err(HashError::Syntax("expected a cost such as `j9T`".to_owned()));
    }
    let params: yescrypt::Params =
        cost.parse().map_err(|error: yescrypt::Error| HashError::Syntax(error.to_string()))?;
    let octets = params.n().saturating_mul(u64::from(params.r())).saturating_mul(128);
    if octets > YESCRYPT_OCTETS_MAX {
        let message = format!("{octets} octets of memory, expected up to {YESCRYPT_OCTETS_MAX}");
        return Err(HashError::Cost(message));
    }
    if !(1..=86).contains(&salt.len()) || !is_crypt64(salt) {
        return Err(HashError::Syntax("expected a salt of 1 to 86 characters".to_owned()));
    }
    if hash.len() != YESCRYPT_CHARACTERS || !is_crypt64(hash) {
        return Err(HashError::Syntax(format!(
            "expected a hash of {YESCRYPT_CHARACTERS} characters"
        )));
    }
    Ok(Kind::Yescrypt)
}

/// Whether all of it is of the alphabet of crypt(5).
fn is_crypt64(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/'))
}

/// 1 GiB.
const ARGON2_KIB_MAX: u32 = 1 << 20;
/// 4 GiB written in all: some seconds.
const ARGON2_KIB_PASSES_MAX: u64 = 1 << 22;
/// Some seconds.
const BCRYPT_COST_MAX: u32 = 16;
/// Salt and hash.
const BCRYPT_CHARACTERS: usize = 53;
/// The most takes some seconds.
const SHA_CRYPT_ROUNDS: RangeInclusive<u32> = 1000..=5_000_000;
const SHA256_CHARACTERS: usize = 43;
const SHA512_CHARACTERS: usize = 86;
/// 1 GiB, as crypt_gensalt(3) asks for at most.
const YESCRYPT_OCTETS_MAX: u64 = 1 << 30;
const YESCRYPT_CHARACTERS: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    /// "secret", as libxcrypt's crypt(3) hashes it.
    const SECRET: [&str; 7] = [
        "$y$j9T$abcdefghijklmnopqrstu.$7uryFExhLbAhrpK1WytVzeNObCUVaK3VoKccP3fJEIB",
        "$6$rounds=1000$saltstring$2BkAo106CG84raQcWpAlhyy6TSSkAsL1nfvBCoezLYyerUzY2l8\
         axTvq6NynEt7SQAx3/cdop9ds0po8uaeHq0",
        "$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLo\
         gdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.",
        "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.",
        "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    ];

    fn error(text: &str) -> HashError {
        StoredHash::parse(text).err().unwrap_or_else(|| panic!("read: {text}"))
    }

    #[test]
    fn what_crypt_makes_is_read_and_only_its_password_matches() {
        for text in SECRET {
            let stored = StoredHash::parse(text).unwrap();
            assert!(stored.matches(b"secret"), "{text}");
            for wrong in [&b"Secret"[..], b"", b"secret\0", b"secret\0secret", b"secre", b"secret "]
            {
                assert!(!stored.matches(wrong), "{text} {wrong:?}");
            }
        }
    }

    #[test]
    fn a_hash_with_a_piece_missing_or_too_much_is_refused() {
        for text in SECRET {
            for cut in 0..text.len() {
                assert!(StoredHash::parse(&text[..cut]).is_err(), "{}", &text[..cut]);
            }
            assert!(StoredHash::parse(&format!("{text}a")).is_err());
            assert!(StoredHash::parse(&format!("{text}$")).is_err());
            assert!(StoredHash::parse(&format!(" {text}")).is_err());
        }
        assert!(matches!(error("$y$j9T$abcdefgh$"), HashError::Syntax(_)));
        assert!(matches!(error("$6$rounds=1000$salt$"), HashError::Syntax(_)));
    }

    #[test]
    fn a_hash_that_takes_too_long_is_refused() {
        let bcrypt = SECRET[4].replace("$04$", "$17$");
        let sha = SECRET[1].replace("=1000$", "=5000001$");
        let few = SECRET[1].replace("=1000$", "=999$");
        let yescrypt = SECRET[0].replace("$j9T$", "$jGT$");
        let argon2 = "$argon2id$v=19$m=1048577,t=1,p=1$fZIoyG3U2k6YF1AUeqhSUA$\
                      2DgrfAXD1WcmGQDcgj/BV2bLM5eGg7rapvP6c1OE2r0";
        for text in [bcrypt.as_str(), &sha, &few, &yescrypt, argon2] {
            assert!(matches!(error(text), HashError::Cost(_)), "{text}");
        }
        assert!(matches!(error(&argon2.replace("1048577,t=1", "65536,t=65")), HashError::Cost(_)));
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        for (text, kind) in [("$1$salt$hash", "1"), ("$apr1$salt$hash", "apr1"), ("$2x$04$x", "2x")]
        {
            assert_eq!(error(text), HashError::Kind(kind.into()));
        }
        assert!(matches!(error("plain"), HashError::Syntax(_)));
        assert!(matches!(error(""), HashError::Syntax(_)));
    }
}

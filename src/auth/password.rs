//! Argon2id: slow on purpose, so never on a worker's loop.

use std::cell::RefCell;
use std::sync::LazyLock;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use password_hash::PasswordHasher;
use password_hash::phc::PasswordHash;
use subtle::ConstantTimeEq;

use super::credentials::Credentials;
use super::identity::Identity;
use super::users::Users;

/// The answer to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Accepted(Identity),
    /// The name or the password is wrong; which of them is nobody's business.
    Rejected,
    /// It could not be checked: too many checks are waiting.
    Overloaded,
}

/// Why a password hash cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not a PHC string.
    #[error("not a PHC string such as `rustsocks hash-password` prints: {0}")]
    Syntax(String),
    /// A PHC or crypt(3) string of another kind.
    #[error("hashes of the kind `${0}$` cannot be verified; expected `$argon2id$`")]
    Kind(String),
    /// The system has no randomness for a salt.
    #[error("cannot make a hash: {0}")]
    Make(String),
}

/// The PHC string of a new argon2id hash of `password`, with a random salt.
///
/// # Errors
/// When the system gives no randomness.
pub fn hash(password: &[u8]) -> Result<String, HashError> {
    Argon2::default()
        .hash_password(password)
        .map(|hash| hash.to_string())
        .map_err(|error| HashError::Make(error.to_string()))
}

/// Checks a login. Takes milliseconds, and as long for a name that does not exist as for a wrong
/// password.
#[must_use]
pub fn verify(users: &Users, credentials: &Credentials) -> Verdict {
    // Made by the first check, whoever asks, so that it never tells a known name from an unknown.
    let decoy = DECOY.as_str();
    let user = users.find(credentials.username());
    let hash = user.map_or(decoy, |user| user.hash());
    let right = is_right(credentials.password(), hash).unwrap_or(false);
    match user {
        Some(user) if right => {
            Verdict::Accepted(Identity::authenticated(user.name(), user.groups()))
        }
        Some(_) | None => Verdict::Rejected,
    }
}

/// Whether a password has this hash; `None` if there is no telling, which [`check_hash`] rules out.
fn is_right(password: &[u8], hash: &str) -> Option<bool> {
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

pub(super) fn check_hash(hash: &str) -> Result<(), HashError> {
    let kind = hash.strip_prefix('$').and_then(|rest| rest.split('$').next()).unwrap_or_default();
    if !matches!(kind, "argon2id" | "argon2i" | "argon2d") && !kind.is_empty() {
        return Err(HashError::Kind(kind.to_owned()));
    }
    let parsed = PasswordHash::new(hash).map_err(|error| HashError::Syntax(error.to_string()))?;
    if parsed.hash.is_none() || parsed.salt.is_none() {
        return Err(HashError::Syntax("salt and hash are missing".to_owned()));
    }
    Ok(())
}

/// Checked against when the name is unknown, so that it takes as long. That its password is known
/// helps nobody: an unknown user is rejected whatever the check says.
static DECOY: LazyLock<String> = LazyLock::new(|| hash(b"").unwrap_or_default());

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::User;

    fn login(users: &Users, name: &str, password: &str) -> Verdict {
        let password = Zeroizing::new(password.as_bytes().to_vec());
        verify(users, &Credentials::new(name.as_bytes().into(), password))
    }

    #[test]
    fn the_right_password_gives_the_identity_and_nothing_else_does() {
        let hash = hash(b"correct horse").unwrap();
        let users = Users::new([User::new("alice", &hash, &["staff".into()]).unwrap()]);
        let Verdict::Accepted(identity) = login(&users, "alice", "correct horse") else {
            panic!("rejected");
        };
        assert_eq!((identity.user(), identity.groups()), ("alice", &["staff".into()][..]));
        assert!(identity.is_authenticated());
        for (name, password) in [
            ("alice", "correct horse "),
            ("alice", "Correct horse"),
            ("alice", "correct horse\0"),
            ("alice", ""),
            ("Alice", "correct horse"),
            ("alice\0", "correct horse"),
            ("bob", "correct horse"),
            ("", ""),
            ("bob", ""),
        ] {
            assert_eq!(login(&users, name, password), Verdict::Rejected, "{name:?} {password:?}");
        }
    }

    #[test]
    fn hashes_of_other_kinds_are_refused_by_name() {
        let error = User::new("bob", "$2y$10$abcdefghijklmnopqrstuv", &[]).unwrap_err();
        assert_eq!(error, HashError::Kind("2y".into()));
        assert!(matches!(User::new("bob", "plain", &[]), Err(HashError::Syntax(_))));
        assert!(matches!(User::new("bob", "$argon2id$v=19", &[]), Err(HashError::Syntax(_))));
    }
}

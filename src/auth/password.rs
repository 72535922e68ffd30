//! New hashes, and logins against those that are kept. Slow on purpose, so never on a worker's loop.

use std::sync::LazyLock;

use argon2::Argon2;
use password_hash::PasswordHasher;

use super::credentials::Credentials;
use super::identity::Identity;
use super::stored::StoredHash;
use super::users::{User, Users};

/// The answer to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Accepted(Identity),
    /// The name or the password is wrong; which of them is nobody's business.
    Rejected,
    /// The client's address is banned; nothing was checked.
    Banned,
    /// It could not be checked: too many checks are waiting.
    Overloaded,
}

/// Why a password hash cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not the hash of a password.
    #[error("not a hash such as `rustsocks hash-password` prints: {0}")]
    Syntax(String),
    /// A PHC or crypt(3) string of another kind.
    #[error(
        "hashes of the kind `${0}$` cannot be verified; expected `$argon2id$`, `$2b$`, `$2y$`, \
         `$5$`, `$6$` or `$y$`"
    )]
    Kind(String),
    /// Checking a password against it would take too long.
    #[error("too costly to verify: {0}")]
    Cost(String),
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
    let user = users.find(credentials.username());
    // An unknown name is checked against the hash of somebody, always the same one, and so takes as
    // long as a known one, also where there are hashes of several kinds.
    let stand_in = || users.stand_in(credentials.username()).or(DECOY.as_ref());
    let right = user
        .map(User::stored)
        .or_else(stand_in)
        .is_some_and(|stored| stored.matches(credentials.password()));
    match user {
        Some(user) if right => Verdict::Accepted(user.identity()),
        Some(_) | None => Verdict::Rejected,
    }
}

/// Checked against when there are no users. That its password is known helps nobody: an unknown
/// user is rejected whatever the check says.
static DECOY: LazyLock<Option<StoredHash>> =
    LazyLock::new(|| StoredHash::parse(&hash(b"").ok()?).ok());

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
    fn an_unknown_name_stands_for_the_same_user_every_time_and_is_never_let_in() {
        let crypted = "$6$rounds=1000$saltstring$2BkAo106CG84raQcWpAlhyy6TSSkAsL1nfvBCoezLYyerUzY2l8\
             axTvq6NynEt7SQAx3/cdop9ds0po8uaeHq0";
        let bcrypted = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
        let users = Users::new([
            User::new("alice", crypted, &[]).unwrap(),
            User::new("bob", bcrypted, &[]).unwrap(),
        ]);
        let mut kinds = [0; 2];
        for number in 0..64 {
            let name = format!("nobody-{number}");
            let stand_in = users.stand_in(name.as_bytes()).unwrap();
            assert!(std::ptr::eq(stand_in, users.stand_in(name.as_bytes()).unwrap()));
            kinds[usize::from(stand_in == &StoredHash::parse(bcrypted).unwrap())] += 1;
            // It is the password of both.
            assert_eq!(login(&users, &name, "secret"), Verdict::Rejected);
        }
        assert!(kinds[0] > 0 && kinds[1] > 0, "{kinds:?}");
        assert!(matches!(login(&users, "bob", "secret"), Verdict::Accepted(_)));
    }
}

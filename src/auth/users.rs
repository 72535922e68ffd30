//! Who may log in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::identity::Identity;
use super::password::HashError;
use super::stored::StoredHash;

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: Arc<str>,
    stored: Arc<StoredHash>,
    groups: Arc<[Box<str>]>,
}

impl User {
    /// A user with the hash of the password: a PHC string of Argon2, or what crypt(3) makes with
    /// bcrypt, SHA-crypt or yescrypt.
    ///
    /// # Errors
    /// When it is none, of a kind that cannot be verified, or of one that would take too long.
    pub fn new(name: &str, hash: &str, groups: &[Box<str>]) -> Result<Self, HashError> {
        let stored = Arc::new(StoredHash::parse(hash)?);
        Ok(Self { name: name.into(), stored, groups: groups.into() })
    }

    /// The same user in these groups.
    #[must_use]
    pub fn in_groups(self, groups: Arc<[Box<str>]>) -> Self {
        Self { groups, ..self }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn stored(&self) -> &StoredHash {
        &self.stored
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> Arc<[Box<str>]> {
        Arc::clone(&self.groups)
    }
}

impl std::fmt::Debug for User {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// All users, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    by_name: HashMap<Box<[u8]>, User>,
    /// Of all of them, in order.
    hashes: Vec<Arc<StoredHash>>,
}

impl Users {
    /// These users; of two with the same name the later one counts.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let mut hashes = Vec::new();
        let by_name = users
            .into_iter()
            .map(|user| {
                hashes.push(Arc::clone(&user.stored));
                (user.name.as_bytes().into(), user)
            })
            .collect();
        Self { by_name, hashes }
    }

    /// Whether nobody may log in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The same client by these users: with the groups that they give, or `None` if its name is not among
    /// them any more. One that did not log in is nobody here.
    #[must_use]
    pub fn renewed(&self, identity: &Identity) -> Option<Identity> {
        let user = self.by_name.get(identity.user().as_bytes())?;
        identity.is_authenticated().then(|| Identity::authenticated(user.name(), user.groups()))
    }

    /// Somebody of this name of whom it is asked what would be decided, with the groups that a login
    /// would give and some more.
    #[must_use]
    pub fn supposed(&self, name: &str, groups: &[Box<str>]) -> Identity {
        let known = self.by_name.get(name.as_bytes()).map(User::groups);
        let all = known.iter().flat_map(|known| known.iter()).chain(groups).cloned();
        Identity::supposed(name, &all.collect::<Vec<_>>())
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<&User> {
        self.by_name.get(name)
    }

    /// The hash that a password is compared with whose name is not known. `None` without users.
    pub(super) fn stand_in(&self, name: &[u8]) -> Option<&StoredHash> {
        let chosen = usize::try_from(STAND_INS.hash_one(name)).unwrap_or_default();
        self.hashes.get(chosen.checked_rem(self.hashes.len())?).map(|stored| &**stored)
    }
}

/// Draws the stand-ins; the key is the process's own, so that nobody can tell which it will be.
static STAND_INS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

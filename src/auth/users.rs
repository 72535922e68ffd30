//! Who may log in.

use std::collections::HashMap;
use std::sync::Arc;

use super::identity::Identity;
use super::password::{HashError, check_hash};

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: Arc<str>,
    hash: Box<str>,
    groups: Arc<[Box<str>]>,
}

impl User {
    /// A user with the PHC string of the password's argon2 hash.
    ///
    /// # Errors
    /// When the string is none, or of a kind that cannot be verified.
    pub fn new(name: &str, hash: &str, groups: &[Box<str>]) -> Result<Self, HashError> {
        check_hash(hash)?;
        Ok(Self { name: name.into(), hash: hash.into(), groups: groups.into() })
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    pub(super) fn groups(&self) -> Arc<[Box<str>]> {
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
}

impl Users {
    /// These users; of two with the same name the later one counts.
    #[must_use]
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let by_name = users.into_iter().map(|user| (user.name.as_bytes().into(), user)).collect();
        Self { by_name }
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
}

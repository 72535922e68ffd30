//! Who may log in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use super::identity::{Identity, Vouched};
use super::password::HashError;
use super::service::PamService;
use super::stored::StoredHash;

/// One user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Once the password was right.
    identity: Identity,
    stored: Arc<StoredHash>,
}

impl User {
    /// A user with the hash of the password: a PHC string of Argon2, or what crypt(3) makes with
    /// bcrypt, SHA-crypt or yescrypt.
    ///
    /// # Errors
    /// When it is none, of a kind that cannot be verified, or of one that would take too long.
    pub fn new(name: &str, hash: &str, groups: &[Box<str>]) -> Result<Self, HashError> {
        let stored = Arc::new(StoredHash::parse(hash)?);
        Ok(Self { identity: Identity::authenticated(name.into(), groups.into()), stored })
    }

    /// The same user in these groups.
    #[must_use]
    pub fn in_groups(self, groups: Arc<[Box<str>]>) -> Self {
        Self { identity: self.identity.in_groups(groups), ..self }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.identity.shared_user()
    }

    /// Whether this is the password. Takes as long as a login.
    #[must_use]
    pub fn has_password(&self, password: &[u8]) -> bool {
        self.stored.matches(password)
    }

    pub(super) fn stored(&self) -> &StoredHash {
        &self.stored
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> Arc<[Box<str>]> {
        self.identity.shared_groups()
    }

    /// Who somebody is who knows the password.
    pub(super) fn identity(&self) -> Identity {
        self.identity.clone()
    }
}

impl std::fmt::Debug for User {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.identity.user())
            .field("groups", &self.identity.groups())
            .finish_non_exhaustive()
    }
}

/// All users, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    by_name: HashMap<Box<[u8]>, User>,
    /// Of all of them, in order.
    hashes: Vec<Arc<StoredHash>>,
    /// Who is asked about everybody else.
    service: Option<PamService>,
    /// Groups beside those that a login gives, by the names of their members.
    members: HashMap<Box<str>, Vec<Box<str>>>,
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
                (user.identity.user().as_bytes().into(), user)
            })
            .collect();
        Self { by_name, hashes, service: None, members: HashMap::new() }
    }

    /// These users, and whom this service lets in beside them.
    #[must_use]
    pub fn and_of(self, service: Option<PamService>) -> Self {
        Self { service, ..self }
    }

    /// These users, who are in further groups, whoever lets them in: by the names of their members.
    #[must_use]
    pub fn with_members(mut self, members: &HashMap<Box<str>, Vec<Box<str>>>) -> Self {
        self.by_name.values_mut().for_each(|user| {
            if let Some(further) = members.get(user.identity.user()) {
                user.identity = user.identity().and_in(further);
            }
        });
        self.members.clone_from(members);
        self
    }

    /// Who a client is under this name that need not log in.
    #[must_use]
    pub fn anonymous(&self, name: &str) -> Identity {
        Identity::supposed(name, self.members_groups(name))
    }

    fn members_groups(&self, name: &str) -> &[Box<str>] {
        self.members.get(name).map_or(&[], Vec::as_slice)
    }

    /// The service that decides on this name, which is not one of ours.
    #[must_use]
    pub fn service_for(&self, name: &[u8]) -> Option<&PamService> {
        self.service.as_ref().filter(|_| !self.by_name.contains_key(name))
    }

    /// Whether the same are listed as there, whoever else may log in.
    #[must_use]
    pub fn lists_as(&self, other: &Self) -> bool {
        self.by_name == other.by_name
    }

    /// Whether somebody of this name is listed here and there, with another password.
    #[must_use]
    pub fn differ_in_password(&self, other: &Self, name: &str) -> bool {
        let stored = |users: &Self| Some(Arc::clone(&users.by_name.get(name.as_bytes())?.stored));
        matches!((stored(self), stored(other)), (Some(here), Some(there)) if here != there)
    }

    /// Whether somebody of this name is listed.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name.as_bytes())
    }

    /// The names of those who are listed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.values().map(|user| user.identity.user())
    }

    /// The groups that somebody is in, each as often as somebody is.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let of_host = self.service.as_ref().map_or(&[][..], PamService::groups);
        let listed = self.by_name.values().flat_map(|user| user.identity.groups());
        listed.chain(of_host).map(|group| &**group)
    }

    /// Whether nobody is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many are listed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The same client by these users: with the groups that they give, or `None` if whoever let it in
    /// does not decide on its name any more. One that did not log in is nobody here.
    #[must_use]
    pub fn renewed(&self, identity: &Identity) -> Option<Identity> {
        let name = identity.user().as_bytes();
        match identity.vouched() {
            Vouched::Nobody => None,
            Vouched::List => self.by_name.get(name).map(User::identity),
            // It is not asked again: a service is only told a password.
            Vouched::Host => {
                let again = self.service_for(name)?.identity(identity.user());
                Some(again.and_in(self.members_groups(identity.user())))
            }
        }
    }

    /// Somebody of this name of whom it is asked what would be decided, with the groups that a login
    /// would give and some more.
    #[must_use]
    pub fn supposed(&self, name: &str, groups: &[Box<str>]) -> Identity {
        let (given, further) = match self.by_name.get(name.as_bytes()) {
            Some(user) => (user.identity.groups(), &[][..]),
            None => {
                let service = self.service_for(name.as_bytes());
                (service.map_or(&[][..], PamService::groups), self.members_groups(name))
            }
        };
        let all = given.iter().chain(further).chain(groups).cloned();
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

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    #[test]
    fn a_login_stays_good_only_while_whoever_vouched_for_it_decides_on_the_name() {
        let service = PamService::new("proxy", &["host".into()]);
        let alice = || User::new("alice", HASH, &["staff".into()]).unwrap();
        let (none, listed) = (Users::default(), Users::new([alice()]));
        let host = Users::default().and_of(Some(service.clone()));
        let both = Users::new([alice()]).and_of(Some(service.clone()));
        let by_list = Identity::authenticated("alice".into(), Arc::new([]));
        let by_host = service.identity("alice");
        let groups = |users: &Users, identity: &Identity| {
            users.renewed(identity).map(|again| again.groups().to_vec())
        };
        let (staff, of_host) = (Some(vec!["staff".into()]), Some(vec!["host".into()]));
        for (users, list, host) in
            [(&none, &None, &None), (&listed, &staff, &None), (&host, &None, &of_host)]
        {
            assert_eq!((&groups(users, &by_list), &groups(users, &by_host)), (list, host));
        }
        // A listed name is not the host's to decide on.
        assert_eq!((groups(&both, &by_list), groups(&both, &by_host)), (staff, None));
        assert_eq!(both.service_for(b"bob"), Some(&service));
        assert_eq!(both.service_for(b"alice"), None);
        assert_eq!(both.supposed("bob", &[]).groups(), ["host".into()]);
        assert_eq!(both.supposed("alice", &[]).groups(), ["staff".into()]);
        assert!(both.renewed(&Identity::anonymous("alice")).is_none());
        // Whoever lets them in, they are where else they are put.
        let further = ["alice", "bob", "nobody"].map(|name| (name.into(), vec!["further".into()]));
        let both = both.with_members(&HashMap::from(further));
        let groups = |identity: &Identity| both.renewed(identity).unwrap().groups().join(" ");
        assert_eq!(groups(&by_list), "staff further");
        assert_eq!(groups(&service.identity("bob")), "host further");
        assert_eq!(both.supposed("alice", &[]).groups().join(" "), "staff further");
        assert_eq!(
            both.supposed("bob", &["asked".into()]).groups().join(" "),
            "host further asked"
        );
        assert_eq!(both.anonymous("nobody").groups(), ["further".into()]);
    }
}

//! A client whose name is settled.

use std::sync::Arc;

/// Who a client is. Cheap to clone, and small: each session keeps one, and all of a listed user, or of
/// those who need not log in, share what is behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arc<Client>);

#[derive(Debug, PartialEq, Eq)]
struct Client {
    user: Arc<str>,
    groups: Arc<[Box<str>]>,
    vouched: Vouched,
}

/// Who has found the password right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vouched {
    /// Nobody: there was none.
    Nobody,
    /// Our own list of users.
    List,
    /// The host's PAM.
    Host,
}

impl Identity {
    /// A client that need not log in, under the name that its sessions are booked to.
    #[must_use]
    pub fn anonymous(name: &str) -> Self {
        Self::new(name.into(), Arc::new([]), Vouched::Nobody)
    }

    /// Somebody of whom it is asked what would be decided; nobody has logged in.
    #[must_use]
    pub fn supposed(name: &str, groups: &[Box<str>]) -> Self {
        Self::new(name.into(), groups.into(), Vouched::Nobody)
    }

    /// A client whose password was right.
    pub(super) fn authenticated(user: Arc<str>, groups: Arc<[Box<str>]>) -> Self {
        Self::new(user, groups, Vouched::List)
    }

    /// A client whom the host's PAM lets in.
    pub(super) fn of_host(user: Arc<str>, groups: Arc<[Box<str>]>) -> Self {
        Self::new(user, groups, Vouched::Host)
    }

    fn new(user: Arc<str>, groups: Arc<[Box<str>]>, vouched: Vouched) -> Self {
        Self(Arc::new(Client { user, groups, vouched }))
    }

    /// The same client in these groups instead.
    pub(super) fn in_groups(&self, groups: Arc<[Box<str>]>) -> Self {
        Self::new(self.shared_user(), groups, self.0.vouched)
    }

    /// The same client in these groups, too.
    pub(super) fn and_in(self, further: &[Box<str>]) -> Self {
        if further.is_empty() {
            return self;
        }
        self.in_groups(self.groups().iter().chain(further).cloned().collect())
    }

    pub(super) fn vouched(&self) -> Vouched {
        self.0.vouched
    }

    pub(super) fn shared_user(&self) -> Arc<str> {
        Arc::clone(&self.0.user)
    }

    pub(super) fn shared_groups(&self) -> Arc<[Box<str>]> {
        Arc::clone(&self.0.groups)
    }

    /// The name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> &[Box<str>] {
        &self.0.groups
    }

    /// Whether a password stands behind the name.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        !matches!(self.0.vouched, Vouched::Nobody)
    }
}

//! A client whose name is settled.

use std::sync::Arc;

/// Who a client is. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
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
        Self { user: name.into(), groups: Arc::new([]), vouched: Vouched::Nobody }
    }

    /// Somebody of whom it is asked what would be decided; nobody has logged in.
    #[must_use]
    pub fn supposed(name: &str, groups: &[Box<str>]) -> Self {
        Self { user: name.into(), groups: groups.into(), vouched: Vouched::Nobody }
    }

    /// A client whose password was right.
    pub(super) fn authenticated(user: Arc<str>, groups: Arc<[Box<str>]>) -> Self {
        Self { user, groups, vouched: Vouched::List }
    }

    /// A client whom the host's PAM lets in.
    pub(super) fn of_host(user: Arc<str>, groups: Arc<[Box<str>]>) -> Self {
        Self { user, groups, vouched: Vouched::Host }
    }

    /// The same client in these groups, too.
    pub(super) fn and_in(mut self, further: &[Box<str>]) -> Self {
        if !further.is_empty() {
            self.groups = self.groups.iter().chain(further).cloned().collect();
        }
        self
    }

    pub(super) const fn vouched(&self) -> Vouched {
        self.vouched
    }

    /// The name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The groups that the user is in.
    #[must_use]
    pub fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// Whether a password stands behind the name.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        !matches!(self.vouched, Vouched::Nobody)
    }
}

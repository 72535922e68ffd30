//! Logins that the host decides on: whoever is not listed here is asked about of a PAM service.

use std::net::IpAddr;
use std::sync::Arc;

use super::credentials::Credentials;
use super::identity::Identity;
use super::pam;
use super::password::Verdict;

/// A service of the host's PAM, and what its users are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PamService {
    name: Box<str>,
    groups: Arc<[Box<str>]>,
}

impl PamService {
    /// Whether this binary can ask PAM at all.
    pub const BUILT_IN: bool = pam::BUILT_IN;

    /// The service of this name, whose users are in these groups. The name holds no NUL.
    #[must_use]
    pub fn new(name: &str, groups: &[Box<str>]) -> Self {
        Self { name: name.into(), groups: groups.into() }
    }

    /// What its file below `/etc/pam.d` is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The groups that its users are in.
    #[must_use]
    pub fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// Asks about a login from this client. Takes as long as the modules take, which may start
    /// programs, ask servers and sleep.
    #[must_use]
    pub fn verify(&self, credentials: &Credentials, client: IpAddr) -> Verdict {
        // A name that is no text could not be told from another in what is recorded; a module would not
        // see what stands behind a NUL.
        let Ok(user) = std::str::from_utf8(credentials.username()) else {
            return Verdict::Rejected;
        };
        if user.is_empty() || user.contains('\0') || credentials.password().contains(&0) {
            return Verdict::Rejected;
        }
        match pam::ask(&self.name, user, credentials.password(), client) {
            pam::Answer::Right => Verdict::Accepted(self.identity(user)),
            pam::Answer::Wrong => Verdict::Rejected,
            pam::Answer::Unknown => Verdict::Overloaded,
        }
    }

    pub(super) fn identity(&self, user: &str) -> Identity {
        Identity::of_host(user.into(), Arc::clone(&self.groups))
    }
}

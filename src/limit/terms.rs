//! What is limited, for whom, and how much: part of the policy, and as immutable.

use std::sync::Arc;

use super::bucket::Rate;
use super::period::Period;
use super::usage::{Counted, Subject};
use crate::auth::{Identity, Users};

/// All limits. What is 0 or empty is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitTerms {
    /// Sessions that one user may have at a time.
    pub connections_per_user: u32,
    /// Connections that one client may have at a time: an IPv4 address, or an IPv6 /64.
    pub connections_per_address: u32,
    /// New connections of one client.
    pub connection_rate: Option<Rate>,
    /// How fast; each name once.
    pub bandwidths: Vec<BandwidthTerms>,
    /// How much; each name once. Whoever asks how they stand is handed them, long lists of users and all.
    pub quotas: Vec<Arc<QuotaTerms>>,
    /// In which groups users are.
    pub users: Arc<Users>,
}

/// One limit on bandwidth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BandwidthTerms {
    /// What rules call it, and operators.
    pub name: Arc<str>,
    /// Whose sessions it holds for; beside these it holds where a rule names it.
    pub whom: Whom,
    /// Who shares it.
    pub per: Per,
    /// Octets per second: upload, download.
    pub rates: [Option<Rate>; 2],
}

/// One quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaTerms {
    /// What operators call it.
    pub name: Arc<str>,
    /// Whose octets count.
    pub whom: Whom,
    /// Whether each user has it for himself, or all have it together.
    pub per_user: bool,
    /// Over how long.
    pub period: Period,
    /// Which octets.
    pub counted: Counted,
    /// How many there may be; at least 1.
    pub octets: u64,
    /// From how many on it is told.
    pub warn_octets: u64,
    /// What is left when they are used up: so many octets per second in all; `None` cuts.
    pub brake: Option<Rate>,
}

/// Who shares one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each user has one.
    User,
    /// Each session has one.
    Session,
    /// All have one together.
    All,
}

/// Whom a limit is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whom {
    /// Everybody.
    pub everybody: bool,
    /// Users of these names.
    pub users: Vec<Box<str>>,
    /// Those who are in one of these groups; ASCII case does not count.
    pub groups: Vec<Box<str>>,
}

impl Whom {
    /// Whether it is about this client.
    #[must_use]
    pub fn includes(&self, identity: &Identity) -> bool {
        let in_group =
            |group: &str| self.groups.iter().any(|listed| listed.eq_ignore_ascii_case(group));
        self.everybody
            || self.users.iter().any(|user| **user == *identity.user())
            || !self.groups.is_empty() && identity.groups().iter().any(|group| in_group(group))
    }
}

impl QuotaTerms {
    /// Under what the octets of this user count, or those of all.
    #[must_use]
    pub fn subject(&self, user: &str) -> Subject {
        Subject {
            quota: Arc::clone(&self.name),
            period: self.period,
            counted: self.counted,
            user: self.per_user.then(|| user.into()),
        }
    }

    /// Whether what counts under this subject is what this quota is about.
    #[must_use]
    pub fn is_of(&self, subject: &Subject) -> bool {
        subject.quota == self.name
            && subject.period == self.period
            && subject.counted == self.counted
            && subject.user.is_some() == self.per_user
    }
}

impl LimitTerms {
    /// The quota that what counts under this subject is about, if there is one.
    #[must_use]
    pub fn quota_of(&self, subject: &Subject) -> Option<&Arc<QuotaTerms>> {
        self.quotas.iter().find(|quota| quota.is_of(subject))
    }
}

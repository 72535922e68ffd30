//! The rules of one rule file, and the evaluator: the first rule that holds decides.
//!
//! Rules are tried by descending priority; of equal ones those that block come before those that
//! allow, and then those before that stand earlier in the file.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::embedded::Embedded;
use super::guard::Forbidden;
use super::hours::minute_of_week;
use super::index::{Candidates, Crowd, Index};
use super::rule::{Action, Mention, Miss, Query, Rule};
use super::ruling::{Decision, Ruling};
use crate::auth::Identity;
use crate::socks::Command;

/// All rules of a file, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    ordered: Vec<Rule>,
    index: Index,
    crowds: Vec<Crowd>,
    otherwise: Decision,
    default_policy: Arc<str>,
    members: HashMap<Box<str>, Vec<Box<str>>>,
    utc_offset_minutes: i32,
    has_hours: bool,
    /// Ways out by the number of the rule that names them.
    egresses: HashMap<u32, Arc<str>>,
    /// The same of limits on bandwidth.
    bandwidths: HashMap<u32, Arc<str>>,
    /// What tells the file from others, for the log; empty where there is none.
    digest: String,
}

/// What a rule file says beside its rules.
#[derive(Clone, Debug)]
pub struct RulesBeside {
    /// What is decided where no rule holds.
    pub otherwise: Decision,
    /// Groups of users, in lower case, beside those that their login gives.
    pub members: HashMap<Box<str>, Vec<Box<str>>>,
    /// Minutes by which the hours of rules are ahead of UTC.
    pub utc_offset_minutes: i32,
}

/// Is told of each rule that is met. The data path's own is `()`, which costs nothing.
pub(super) trait Observer {
    /// A rule was met.
    fn met(&mut self, rule: &Rule, met: Met);
}

impl Observer for () {
    #[inline]
    fn met(&mut self, _: &Rule, _: Met) {}
}

/// What became of a rule that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// It decides.
    Decides,
    /// It would have blocked.
    Shadows,
    /// It allows, but the guard forbids the address, which the rule does not name.
    Guarded,
    /// A condition does not hold.
    Missed(Miss),
}

/// What decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    Rule(&'a Rule),
    Default,
    Guard(&'static str),
}

/// What was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) by: By<'a>,
    pub(super) shadow: Option<&'a Rule>,
    /// Its place in the order; that of none is behind all.
    pub(super) rank: usize,
}

impl Rules {
    /// These rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>, beside: RulesBeside) -> Self {
        Self::indexed(rules, beside, FEW)
    }

    /// The same, of which `few` in one place of the index are tried one by one.
    fn indexed(mut rules: Vec<Rule>, beside: RulesBeside, few: usize) -> Self {
        rules.sort_by_key(|rule| (Reverse(rule.priority), rule.action == Action::Allow, rule.id));
        let (index, crowds) = Index::new(&rules, few);
        Self {
            index,
            crowds,
            has_hours: rules.iter().any(|rule| !rule.hours.are_all()),
            egresses: named(&rules, |rule| rule.egress.as_ref()),
            bandwidths: named(&rules, |rule| rule.bandwidth.as_ref()),
            ordered: rules,
            otherwise: beside.otherwise,
            default_policy: DEFAULT_POLICY.into(),
            members: beside.members,
            utc_offset_minutes: beside.utc_offset_minutes,
            digest: String::new(),
        }
    }

    /// The same, of a file of this digest.
    #[must_use]
    pub fn with_digest(self, digest: String) -> Self {
        Self { digest, ..self }
    }

    /// How the log tells these rules from others.
    #[must_use]
    pub fn name(rules: Option<&Self>) -> String {
        rules.map_or_else(
            || "no rule file".to_owned(),
            |rules| format!("{} rules, rule file {}", rules.ordered.len(), rules.digest),
        )
    }

    /// All of them, in the order in which they are tried.
    #[must_use]
    pub fn ordered(&self) -> &[Rule] {
        &self.ordered
    }

    /// Those that have to be tried one by one where one of them may hold, if they are many.
    #[must_use]
    pub fn crowds(&self) -> &[Crowd] {
        &self.crowds
    }

    pub(super) const fn index(&self) -> &Index {
        &self.index
    }

    /// Whom the rule file itself puts into which groups, those in lower case.
    #[must_use]
    pub const fn members(&self) -> &HashMap<Box<str>, Vec<Box<str>>> {
        &self.members
    }

    /// The groups that the rule file itself puts somebody into, in lower case.
    pub fn listed_groups(&self) -> impl Iterator<Item = &str> {
        self.members.values().flatten().map(|group| &**group)
    }

    /// Whether the rule file puts somebody into a group.
    pub(super) fn puts_into(&self, user: &str, group: &str) -> bool {
        let listed = self.members.get(user);
        listed.into_iter().flatten().any(|of| of.eq_ignore_ascii_case(group))
    }

    /// The way out of what this has decided, if the rule names one.
    pub(super) fn egress_of(&self, ruling: &Ruling) -> Option<&Arc<str>> {
        if self.egresses.is_empty() {
            return None;
        }
        self.egresses.get(&ruling.rule_id?)
    }

    /// The limit on bandwidth of what this has decided, if the rule names one.
    pub(super) fn bandwidth_of(&self, ruling: &Ruling) -> Option<&Arc<str>> {
        if self.bandwidths.is_empty() {
            return None;
        }
        self.bandwidths.get(&ruling.rule_id?)
    }

    /// Whether any of them names a limit on bandwidth.
    pub(super) fn names_bandwidths(&self) -> bool {
        !self.bandwidths.is_empty()
    }

    /// What is decided where no rule holds.
    #[must_use]
    pub const fn otherwise(&self) -> Decision {
        self.otherwise
    }

    /// Minutes by which their hours are ahead of UTC.
    pub(super) const fn utc_offset_minutes(&self) -> i32 {
        self.utc_offset_minutes
    }

    /// Whether any of them is for some hours only.
    pub(super) const fn has_hours(&self) -> bool {
        self.has_hours
    }

    /// The minute of the week that a moment is in, where that is of any importance; the moment is
    /// milliseconds since the epoch.
    pub(super) fn minute(&self, utc_ms: impl FnOnce() -> i64) -> u16 {
        if self.has_hours { minute_of_week(utc_ms(), self.utc_offset_minutes) } else { 0 }
    }

    /// A question about somebody's request, without a target as yet.
    pub(super) fn query<'a>(
        identity: &'a Identity,
        client: IpAddr,
        command: Command,
        port: u16,
        minute: u16,
    ) -> Query<'a> {
        Query {
            user: identity.user(),
            groups: identity.groups(),
            client: client.to_canonical(),
            command,
            name: None,
            address: None,
            embedded: Embedded::NONE,
            port,
            minute,
        }
    }

    /// Decides. `forbidden` is what the guard says against the address.
    pub(super) fn decide<O: Observer>(
        &self,
        query: &Query<'_>,
        forbidden: Option<Forbidden>,
        observer: &mut O,
    ) -> Verdict<'_> {
        let mut candidates = Candidates::default();
        self.index.find(query, &mut candidates);
        self.first(&mut candidates, query, forbidden, observer)
    }

    fn first<O: Observer>(
        &self,
        candidates: &mut Candidates<'_>,
        query: &Query<'_>,
        forbidden: Option<Forbidden>,
        observer: &mut O,
    ) -> Verdict<'_> {
        let (mut shadow, mut guarded) = (None, false);
        for (rank, reach) in candidates {
            let rule = &self.ordered[rank as usize];
            let miss = match rule.action {
                Action::Allow if !reach.direct => Some(Miss::Embedded),
                Action::Allow | Action::Block | Action::ShadowBlock => self.miss_of(rank, query),
            };
            let met = match (miss, rule.action, forbidden) {
                (Some(miss), _, _) => Met::Missed(miss),
                (None, Action::ShadowBlock, _) => Met::Shadows,
                // It would have been let pass by now, but for the guard.
                (None, Action::Block, Some(_)) if guarded => break,
                (None, Action::Allow, Some(by)) if !reach.names(by) => Met::Guarded,
                (None, Action::Allow | Action::Block, _) => Met::Decides,
            };
            observer.met(rule, met);
            match met {
                Met::Missed(_) => {}
                Met::Shadows => shadow = shadow.or(Some(rule)),
                Met::Guarded => guarded = true,
                Met::Decides => {
                    return Verdict { by: By::Rule(rule), shadow, rank: rank as usize };
                }
            }
        }
        let by = match forbidden {
            Some(by) if guarded || self.otherwise == Decision::Allow => By::Guard(by.sentence),
            Some(_) | None => By::Default,
        };
        Verdict { by, shadow, rank: self.ordered.len() }
    }

    /// Whether a name that is blocked at this rank may yet turn out to have an address that is allowed
    /// before it.
    pub(super) fn may_be_allowed(&self, query: &Query<'_>, before: usize) -> bool {
        let holds = |rank: u32| {
            let rule = &self.ordered[rank as usize];
            rule.miss_beside(query).is_none()
                && (!self.index.is_of_many_people(rank) || rule.is_about(query))
        };
        let allows = self.index.network_allows(query).map(|(rank, _)| rank);
        let earlier = allows.take_while(|rank| (*rank as usize) < before);
        // Beyond these it is looked up in any case.
        earlier.enumerate().any(|(tried, rank)| tried >= NETWORK_ALLOWS_TRIED_MAX || holds(rank))
    }

    /// What does not hold of a rule that the index found, beside its destinations.
    fn miss_of(&self, rank: u32, query: &Query<'_>) -> Option<Miss> {
        let rule = &self.ordered[rank as usize];
        if self.index.is_of_many_people(rank) && !rule.is_about(query) {
            return Some(Miss::Who);
        }
        rule.miss_beside(query)
    }

    /// The decision as it is recorded.
    pub(super) fn ruling(&self, verdict: &Verdict<'_>) -> Ruling {
        let (decision, rule, rule_id) = match verdict.by {
            By::Rule(rule) => (decision_of(rule), Arc::clone(&rule.text), Some(rule.id)),
            By::Default => (self.otherwise, Arc::clone(&self.default_policy), None),
            By::Guard(sentence) => (Decision::Block, sentence.into(), None),
        };
        Ruling { decision, rule, rule_id, shadow: verdict.shadow.map(|rule| rule.id) }
    }
}

/// What rules name, by their numbers.
fn named(rules: &[Rule], what: impl Fn(&Rule) -> Option<&Mention>) -> HashMap<u32, Arc<str>> {
    rules.iter().filter_map(|rule| Some((rule.id, Arc::clone(&what(rule)?.name)))).collect()
}

fn decision_of(rule: &Rule) -> Decision {
    match rule.action {
        Action::Allow | Action::ShadowBlock => Decision::Allow,
        Action::Block => Decision::Block,
    }
}

/// An address as queries have it: unwrapped if it is mapped, and the IPv4 addresses within.
pub(super) fn both(address: IpAddr) -> (IpAddr, Embedded) {
    let address = address.to_canonical();
    (address, Embedded::of(address))
}

/// How records speak of what is decided where no rule holds.
pub(super) const DEFAULT_POLICY: &str = "default policy";
/// Rules that allow networks and are tried on a name that is blocked, of those that are for whoever asks
/// and for this port; as many as may be alike before it is worth a warning.
const NETWORK_ALLOWS_TRIED_MAX: usize = 256;
/// So many rules are tried one by one sooner than told apart.
const FEW: usize = 8;

#[cfg(test)]
mod tests;

//! Rules that nothing tells apart, so that they have to be tried one by one.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::fmt;

use crate::acl::rule::{Action, Rule};
use crate::socks::CommandSet;

/// What rules have in common that are tried one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// People, targets, clients and ports; or else there are too many of these in each, or in all.
    Matter,
    /// How their names, with more than one `*`, begin and end.
    Names,
}

/// Rules that are tried one by one, and are many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// The numbers of some of them, in the order in which they are tried.
    pub rules: Vec<u32>,
    /// How many they are.
    pub count: usize,
    /// What they have in common.
    pub likeness: Likeness,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.rules.iter().map(u32::to_string).collect();
        let (shown, more) = (shown.join(", "), self.count.saturating_sub(self.rules.len()));
        let what = match self.likeness {
            Likeness::Matter => {
                "are for the same people, targets, clients and ports, or name very many of them, each or \
                 all together"
            }
            Likeness::Names => "have names with more than one \"*\" that begin and end alike",
        };
        write!(
            f,
            "rules {shown} and {more} more {what}: they are tried one by one, which makes a decision that \
             meets them slow"
        )
    }
}

/// Which conditions hold where rules lie.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settled {
    pub(super) clients: bool,
    pub(super) ports: bool,
}

/// The largest of them.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    /// The largest first; of equal ones that whose rules are tried first.
    found: Vec<Crowd>,
    /// The numbers of rules that lie under everybody and are about some only.
    of_many_people: HashSet<u32>,
}

impl Crowds {
    /// None yet. Rules of these numbers lie under everybody and are about some only.
    pub(super) fn new(of_many_people: impl Iterator<Item = u32>) -> Self {
        Self { found: Vec::new(), of_many_people: of_many_people.collect() }
    }

    /// Looks at rules that lie in one place, in order.
    pub(super) fn look<'a>(
        &mut self,
        rules: impl ExactSizeIterator<Item = &'a Rule>,
        likeness: Likeness,
        settled: Settled,
    ) {
        if rules.len() <= ONE_BY_ONE_MAX {
            return;
        }
        let mut crowd = Crowd { rules: Vec::new(), count: 0, likeness };
        for rule in rules {
            crowd.count += 1;
            if crowd.rules.len() < SHOWN_MAX {
                crowd.rules.push(rule.id);
            }
            if likeness == Likeness::Matter
                && settled.decided_by(rule)
                && !self.of_many_people.contains(&rule.id)
            {
                // Those behind it are never met.
                break;
            }
        }
        // The same rules may lie in several places.
        if crowd.count > ONE_BY_ONE_MAX && !self.found.contains(&crowd) {
            let place = |of: &Crowd| (Reverse(of.count), of.rules.clone());
            let at = self.found.partition_point(|of| place(of) <= place(&crowd));
            self.found.insert(at, crowd);
            self.found.truncate(CROWDS_MAX);
        }
    }

    /// The largest first.
    pub(super) fn sorted(self) -> Vec<Crowd> {
        self.found
    }
}

impl Settled {
    /// Whether a rule is met that holds, whatever is asked.
    fn decided_by(self, rule: &Rule) -> bool {
        rule.action == Action::Block
            && rule.commands == CommandSet::ALL
            && rule.hours.are_all()
            && (self.clients || rule.sources.is_empty())
            && (self.ports || rule.ports.are_all())
    }
}

/// More rules than these, tried one by one, are worth a warning: a decision takes microseconds then.
const ONE_BY_ONE_MAX: usize = 256;
/// So many of them are named.
const SHOWN_MAX: usize = 3;
/// So many crowds are told of, the largest.
const CROWDS_MAX: usize = 16;

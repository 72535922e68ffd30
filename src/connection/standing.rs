//! What a session that is under way stands on, so that it can be judged again when the rules change.

use std::net::IpAddr;
use std::time::Instant;

use crate::acl::Ruling;
use crate::auth::Identity;
use crate::policy::Policy;
use crate::socks::Request;

/// Whose session it is, and what was permitted.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose it is.
    pub identity: Identity,
    /// Where the client is.
    pub client: IpAddr,
    /// What it asked for.
    pub request: Request,
    /// The address that was dialled.
    pub address: Option<IpAddr>,
    /// When it was. Rules with hours are asked about that moment again: whoever was let in goes on, whether
    /// or not somebody edits something else meanwhile.
    pub judged_at: Option<Instant>,
}

impl Standing {
    /// Judges by another policy: by the request, and by the address. The ruling by which the session may
    /// go on, which is wanted for nothing but the limits that it names and so is not kept.
    ///
    /// # Errors
    /// It may not go on.
    pub fn renew(&mut self, policy: &Policy, now: Instant) -> Result<Option<Ruling>, Forbidden> {
        if !policy.commands.contains(self.request.command) {
            return Err(Forbidden);
        }
        self.identity = policy.renewed(&self.identity).ok_or(Forbidden)?;
        let at = self.judged_at.unwrap_or(now);
        let judged = policy.acl.on_request(&self.identity, self.client, &self.request, at);
        let permit = judged.map_err(|_| Forbidden)?;
        let Some(address) = self.address else { return Ok(permit.ruling().cloned()) };
        match policy.acl.on_address(&permit, address) {
            Ok(permit) => Ok(Some(permit.ruling().clone())),
            Err(_) => Err(Forbidden),
        }
    }
}

/// A policy does not let a session go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::acl::{Acl, Action, Decision, Guard, Hours, Ports, Rule, Rules, RulesBeside, Who};
    use crate::clock;
    use crate::socks::{Command, CommandSet};
    use crate::target::{Host, Target};

    /// Allows what is asked for within half an hour of now, and nothing else.
    fn policy(now: Instant) -> Policy {
        let minute = clock::utc_ms_at(now).div_euclid(60_000).rem_euclid(24 * 60);
        let clock = |minute: i64| {
            let minute = minute.rem_euclid(24 * 60);
            format!("{:02}:{:02}", minute / 60, minute % 60)
        };
        let hours = format!("{}-{}", clock(minute - 30), clock(minute + 30));
        let rule = Rule {
            id: 1,
            line: 1,
            action: Action::Allow,
            priority: 0,
            text: "office".into(),
            who: Who::default(),
            destinations: Vec::new(),
            ports: Ports::default(),
            commands: CommandSet::ALL,
            sources: Vec::new(),
            hours: Hours::parse([&*hours]).unwrap(),
            egress: None,
            bandwidth: None,
        };
        let (otherwise, members) = (Decision::Block, HashMap::new());
        let beside = RulesBeside { otherwise, members, utc_offset_minutes: 0 };
        let rules = Arc::new(Rules::new(vec![rule], beside));
        Policy { acl: Acl::with_rules(Guard::Off, rules), ..Policy::plain() }
    }

    fn standing(policy: &Policy, judged_at: Option<Instant>) -> Standing {
        let target = Target::new(Host::V4([192, 0, 2, 1].into()), 443);
        Standing {
            identity: policy.anonymous.clone(),
            client: [198, 51, 100, 7].into(),
            request: Request { command: Command::Connect, target },
            address: Some([192, 0, 2, 1].into()),
            judged_at,
        }
    }

    #[test]
    fn hours_are_those_of_when_it_was_let_in_whenever_another_policy_comes() {
        let now = clock::mono();
        let policy = policy(now);
        let late = now + Duration::from_hours(3);
        assert!(standing(&policy, Some(now)).renew(&policy, late).is_ok());
        assert_eq!(standing(&policy, Some(late)).renew(&policy, late), Err(Forbidden));
    }

    #[test]
    fn it_ends_with_its_command() {
        let now = clock::mono();
        let mut policy = policy(now);
        policy.commands = CommandSet::NONE.with(Command::Bind);
        assert_eq!(standing(&policy, Some(now)).renew(&policy, now), Err(Forbidden));
    }
}

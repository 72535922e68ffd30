//! Commands whose targets are not known when they are asked for: BIND for anybody, and UDP ASSOCIATE. Each
//! peer and each datagram is judged by itself, but where nothing can come of it, nothing need be opened.

use std::net::IpAddr;

use super::decide::{Acl, Denial};
use super::rule::Query;
use super::rules::{By, Rules, Verdict};
use super::ruling::Decision;
use crate::auth::Identity;
use crate::socks::{Command, Request};

/// What a request comes to before any target of it is known.
#[derive(Debug)]
pub(super) enum Unaimed {
    /// Nothing may come of it.
    Denied(Denial),
    /// It goes by who comes, or by what each datagram is for.
    Open,
    /// It says itself what it is about.
    Aimed,
}

impl Acl {
    /// What the data path does with a request before it judges a target. An association says nothing of
    /// its targets; where one is named, a datagram for it is meant.
    pub(super) fn unaimed(
        &self,
        (identity, client): (&Identity, IpAddr),
        request: &Request,
    ) -> Unaimed {
        let for_anybody = request.target.host.ip().is_some_and(|ip| ip.is_unspecified());
        match request.command {
            Command::Connect => Unaimed::Aimed,
            Command::Bind if !for_anybody => Unaimed::Aimed,
            command @ (Command::Bind | Command::UdpAssociate) => {
                match self.forbids_all(identity, client, command) {
                    Some(denial) => Unaimed::Denied(denial),
                    None if for_anybody => Unaimed::Open,
                    None => Unaimed::Aimed,
                }
            }
        }
    }

    /// Why `identity`, calling from `client`, may reach no target whatever by this command, at no hour;
    /// `None` where it may reach some, or that is not to be seen at a glance.
    #[must_use]
    pub fn forbids_all(
        &self,
        identity: &Identity,
        client: IpAddr,
        command: Command,
    ) -> Option<Denial> {
        let rules = self.rules()?;
        let query = Rules::query(identity, client, command, 0, 0);
        let verdict = rules.forbids_all(&query)?;
        Some(Denial { ruling: rules.ruling(&verdict) })
    }
}

impl Rules {
    /// What forbids all that this query may turn out to be about, whatever the target and the hour.
    pub(super) fn forbids_all(&self, query: &Query<'_>) -> Option<Verdict<'_>> {
        let ordered = self.ordered();
        let holds = |rank: u32| {
            let rule = &ordered[rank as usize];
            rule.commands.contains(query.command)
                && rule.is_source(query.client)
                && (!self.index().is_of_many_people(rank) || rule.is_about(query))
        };
        let walls = self.index().walls(query).take(TRIED_MAX);
        let mut walls = walls.map(|(rank, _)| rank).filter(|rank| holds(*rank));
        let wall = walls.next().map(|rank| rank as usize);
        if wall.is_none() && self.otherwise() == Decision::Allow {
            return None;
        }
        let rank = wall.unwrap_or(ordered.len());
        let allows = self.index().allows(query).map(|(rank, _)| rank);
        for (tried, allow) in allows.take_while(|allow| (*allow as usize) < rank).enumerate() {
            if tried >= TRIED_MAX || holds(allow) {
                return None;
            }
        }
        let by = wall.map_or(By::Default, |rank| By::Rule(&ordered[rank]));
        Some(Verdict { by, shadow: None, rank })
    }
}

/// More rules than these are not looked at for this.
const TRIED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Guard, OwnListeners};
    use crate::config::parse_rules;

    const CLIENT: [u8; 4] = [198, 51, 100, 7];

    /// What forbids alice, who is in staff, everything by a command: the number of a rule, or 0.
    fn forbids(text: &str, command: Command) -> Option<u32> {
        let rules = parse_rules(None, text).expect(text);
        let acl = Acl::with_rules(Guard::Auto(OwnListeners::default()), rules.into());
        let alice = Identity::supposed("alice", &["Staff".into()]);
        let denial = acl.forbids_all(&alice, CLIENT.into(), command)?;
        assert_eq!(denial.ruling.decision, Decision::Block);
        Some(denial.ruling.rule_id.unwrap_or(0))
    }

    #[test]
    fn where_nothing_may_be_allowed_the_default_policy_says_so() {
        assert_eq!(forbids("", Command::Bind), Some(0));
        for rule in [
            "users = [\"bob\"]",
            "groups = [\"ops\"]",
            "sources = [\"10.0.0.0/8\", \"2001:db8::/32\"]",
            "commands = [\"udp_associate\"]",
            "protocols = [\"udp\"]",
        ] {
            let text = format!("[[rules]]\naction = \"allow\"\n{rule}\n");
            assert_eq!(forbids(&text, Command::Bind), Some(0), "{rule}");
        }
        for action in ["block", "shadow-block"] {
            let text = format!("[[rules]]\naction = \"{action}\"\nports = [22]\n");
            assert_eq!(forbids(&text, Command::Bind), Some(0), "{action}");
        }
    }

    #[test]
    fn where_something_may_be_it_is_not_refused() {
        assert_eq!(forbids("[global]\ndefault_policy = \"allow\"\n", Command::Bind), None);
        for rule in [
            "",
            "users = [\"bob\", \"alice\"]",
            "groups = [\"STAFF\"]",
            "sources = [\"10.0.0.0/8\", \"198.51.100.0/24\"]",
            "commands = [\"bind\"]",
            "destinations = [\"192.0.2.1\"]\nports = [\"20-21\"]",
            "destinations = [\"a.test\"]",
            "hours = [\"sun 00:00-00:01\"]",
        ] {
            let text = format!("[[rules]]\naction = \"allow\"\n{rule}\n");
            assert_eq!(forbids(&text, Command::Bind), None, "{rule}");
        }
    }

    #[test]
    fn a_rule_that_blocks_everything_is_named_unless_one_before_it_allows_something() {
        let allow = "[global]\ndefault_policy = \"allow\"\n";
        let block = |rule: &str| format!("{allow}[[rules]]\naction = \"block\"\n{rule}\n");
        for rule in ["", "protocols = [\"udp\"]", "groups = [\"staff\"]", "destinations = [\"*\"]"]
        {
            assert_eq!(forbids(&block(rule), Command::UdpAssociate), Some(1), "{rule}");
        }
        // What lets something pass that is not named, or the other command.
        for rule in [
            "protocols = [\"tcp\"]",
            "ports = [\"1-65535\"]",
            "hours = [\"mon-sun 00:00-23:59\"]",
            "destinations = [\"0.0.0.0/0\"]",
            "sources = [\"198.51.100.0/30\"]",
            "users = [\"bob\"]",
        ] {
            assert_eq!(forbids(&block(rule), Command::UdpAssociate), None, "{rule}");
        }
        let exception = "[[rules]]\naction = \"allow\"\ndestinations = [\"192.0.2.1\"]\n";
        let before = format!("{}{exception}priority = 200\n", block(""));
        assert_eq!(forbids(&before, Command::UdpAssociate), None);
        let behind = format!("{}{exception}", block(""));
        assert_eq!(forbids(&behind, Command::UdpAssociate), Some(1));
    }

    #[test]
    fn of_very_many_rules_few_are_looked_at() {
        let of = |matter: fn(u32) -> String| {
            let rules =
                (0..2000).map(|n| format!("[[rules]]\naction = \"allow\"\n{}\n", matter(n)));
            forbids(&rules.collect::<String>(), Command::Bind)
        };
        // Told apart by clients.
        assert_eq!(of(|n| format!("sources = [\"10.0.{}.{}\"]", n / 256, n % 256)), Some(0));
        // By nothing: nobody knows.
        assert_eq!(of(|_| "protocols = [\"udp\"]".to_owned()), None);
    }
}

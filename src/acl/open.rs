//! Whether rules leave a proxy open: nobody has to log in, and they let anybody reach everything.

use ipnet::IpNet;

use super::guard::is_for_some;
use super::rule::{Action, Destination, Rule};
use super::rules::Rules;
use super::ruling::Decision;
use crate::socks::Command;

/// What lets anybody reach everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The rule of this number, in this line.
    Rule { id: u32, line: u32 },
    /// What is decided where no rule holds.
    Default,
}

impl Rules {
    /// What lets a client that has not logged in, and so is `anonymous`, reach any public target from
    /// anywhere. One rule before it that blocks something of that is enough for there to be none: then
    /// somebody has said who may do what.
    #[must_use]
    pub fn opening(&self, anonymous: &str) -> Option<Opening> {
        for rule in self.ordered().iter().filter(|rule| self.names(rule, anonymous)) {
            match rule.action {
                Action::Block if restricts(rule) => return None,
                Action::Allow if is_for_all(rule) => {
                    return Some(Opening::Rule { id: rule.id, line: rule.line });
                }
                Action::Allow | Action::Block | Action::ShadowBlock => {}
            }
        }
        (self.otherwise() == Decision::Allow).then_some(Opening::Default)
    }

    fn names(&self, rule: &Rule, user: &str) -> bool {
        let who = &rule.who;
        who.is_everybody()
            || who.users.iter().any(|name| **name == *user)
            || who.groups.iter().any(|group| self.puts_into(user, group))
    }
}

/// Whether it allows everything to all clients of a family at least.
fn is_for_all(rule: &Rule) -> bool {
    rule.ports.are_all()
        && rule.hours.are_all()
        && rule.commands.contains(Command::Connect)
        && (rule.sources.is_empty() || covers_a_family(rule.sources.iter().copied()))
        && (rule.destinations.is_empty()
            || rule.destinations.contains(&Destination::Any)
            || covers_a_family(rule.destinations.iter().filter_map(net)))
}

/// Whether it blocks anything that a stranger could ask for: not just what the guard forbids anyhow.
fn restricts(rule: &Rule) -> bool {
    let source = rule.sources.is_empty() || rule.sources.iter().any(|net| !is_for_some(net));
    let target = |destination: &Destination| net(destination).is_none_or(|net| !is_for_some(&net));
    source && (rule.destinations.is_empty() || rule.destinations.iter().any(target))
}

fn net(destination: &Destination) -> Option<IpNet> {
    match destination {
        Destination::Net(net) => Some(*net),
        Destination::Any | Destination::Name(_) => None,
    }
}

/// Whether these are all addresses of a family, in one piece or in several.
fn covers_a_family(nets: impl Iterator<Item = IpNet>) -> bool {
    IpNet::aggregate(&nets.collect()).iter().any(|net| net.prefix_len() == 0)
}

#[cfg(test)]
mod tests {
    use super::Opening;
    use crate::config::parse_rules;

    fn opening(text: &str) -> Option<Opening> {
        parse_rules(None, text).unwrap().opening("anonymous")
    }

    #[test]
    fn rules_that_let_anybody_reach_everything_are_open() {
        let allow = "[global]\ndefault_policy = \"allow\"\n";
        assert_eq!(opening(allow), Some(Opening::Default));
        for rule in [
            "action = \"allow\"",
            "action = \"allow\"\ndestinations = [\"*\"]",
            "action = \"allow\"\ndestinations = [\"a.test\", \"0.0.0.0/0\"]",
            "action = \"allow\"\ndestinations = [\"0.0.0.0/1\", \"128.0.0.0/1\"]",
            "action = \"allow\"\nsources = [\"::/0\"]",
            "action = \"allow\"\nusers = [\"alice\", \"anonymous\"]",
        ] {
            assert_eq!(
                opening(&format!("[[rules]]\n{rule}\n")),
                Some(Opening::Rule { id: 1, line: 1 }),
                "{rule}"
            );
        }
        // What blocks behind it is never met, nor what is about others, or counts only.
        for rule in [
            "action = \"block\"\nusers = [\"alice\"]",
            "action = \"shadow-block\"",
            "action = \"block\"\ndestinations = [\"10.0.0.0/8\", \"169.254.169.254\"]",
            "action = \"block\"\nsources = [\"192.168.0.0/16\"]",
        ] {
            assert_eq!(
                opening(&format!("{allow}[[rules]]\n{rule}\n")),
                Some(Opening::Default),
                "{rule}"
            );
        }
        let first =
            "[[rules]]\naction = \"allow\"\npriority = 1000\n[[rules]]\naction = \"block\"\n";
        assert_eq!(opening(first), Some(Opening::Rule { id: 1, line: 1 }));
    }

    #[test]
    fn rules_that_say_who_may_do_what_are_not() {
        assert_eq!(opening(""), None);
        for rule in [
            "action = \"allow\"\nsources = [\"192.0.2.0/24\"]",
            "action = \"allow\"\nusers = [\"alice\"]",
            "action = \"allow\"\nports = [443]",
            "action = \"allow\"\ndestinations = [\"*.example\"]",
            "action = \"allow\"\ncommands = [\"bind\"]",
        ] {
            assert_eq!(opening(&format!("[[rules]]\n{rule}\n")), None, "{rule}");
        }
        for rule in ["sources = [\"0.0.0.0/0\"]", "destinations = [\"a.test\"]", "ports = [25]"] {
            let text = format!(
                "[global]\ndefault_policy = \"allow\"\n[[rules]]\naction = \"block\"\n{rule}\n"
            );
            assert_eq!(opening(&text), None, "{rule}");
        }
    }
}

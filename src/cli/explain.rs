//! `rustsocks explain`

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::api::printable;
use super::failure::{Failure, print};
use crate::acl::{Explanation, Step};
use crate::clock;
use crate::config::{Settings, load_rules};
use crate::daemon;
use crate::policy::Policy;
use crate::socks::{Command, Request};
use crate::target::{Host, Target};

/// Say what is decided about a request, and why; or replay recorded sessions under other rules
///
/// It reads the configuration and the rule file itself, so the proxy may run or not, and asks the
/// evaluator that the proxy asks. Names are not looked up: say with --address what they are.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// What is asked for
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    target: Option<Target>,
    /// Who asks; the anonymous user without it
    #[arg(long)]
    user: Option<String>,
    /// A group that the user is in, beside those of the files; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<Box<str>>,
    /// Where the client is; without it on this host itself, to which the guard opens more than to others
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source: IpAddr,
    /// connect, bind or udp_associate
    #[arg(long, default_value = "connect", value_parser = command)]
    command: Command,
    /// An address that the name has; may be repeated
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
    /// When: RFC 3339; now without it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    /// Rules to ask instead of the configured ones
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Replay what was recorded in the last so many days, hours or minutes (7d, 12h, 30m), and say what
    /// would be decided otherwise
    #[cfg(feature = "database")]
    #[arg(long, value_name = "SPAN", conflicts_with = "target", value_parser = super::replay::span)]
    replay: Option<i64>,
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Explain {
    pub(super) fn explain(self) -> Result<(), Failure> {
        let (settings, _) = Settings::load(self.config.as_deref())?;
        let policy = policy(&settings, self.rules.as_deref())?;
        #[cfg(feature = "database")]
        if let Some(span_ms) = self.replay {
            return super::replay::replay(&settings, &policy, span_ms);
        }
        let Some(target) = self.target else {
            return Err(Failure::Usage("say what is asked for: HOST:PORT".to_owned()));
        };
        let user = self.user.as_deref().unwrap_or(policy.anonymous.user());
        let identity = policy.users.supposed(user, &self.groups);
        let request = Request { command: self.command, target };
        let at = self.at.unwrap_or_else(clock::utc_ms);
        let explained = policy.acl.explain((&identity, self.source), &request, at, &self.addresses);
        let mut text = String::new();
        if !policy.knows(user) {
            let user = printable(user);
            text = format!(
                "nobody is the user \"{user}\": this is what one of that name would be told\n"
            );
        }
        if !policy.commands.contains(self.command) {
            text += &format!(
                "{} is not one of server.commands: it is refused whatever the rules say\n",
                self.command.as_str()
            );
        }
        let depends = match (&request.target.host, self.command) {
            (Host::Name(_), _) | (Host::V4(_) | Host::V6(_), Command::Connect) => {
                "it depends on the address that the name has (--address)"
            }
            (Host::V4(_) | Host::V6(_), Command::Bind) => "it depends on who comes",
            (Host::V4(_) | Host::V6(_), Command::UdpAssociate) => {
                "it depends on what each datagram is for"
            }
        };
        text += &told(&request.target.to_string(), &explained.request, depends);
        for (address, explanation) in &explained.addresses {
            text.push('\n');
            text += &told(&format!("{} at {address}", request.target), explanation, depends);
        }
        print(&text)
    }
}

/// What the proxy would judge by, with these rules or the configured ones.
fn policy(settings: &Settings, rules: Option<&Path>) -> Result<Policy, Failure> {
    let rules = match rules {
        Some(path) => Some(Arc::new(load_rules(path)?)),
        None => settings.load_rules()?,
    };
    let addresses: Vec<_> = settings.server.listen.iter().map(|listen| listen.address).collect();
    let own = daemon::own_listeners(&addresses, settings.sessions.api);
    Ok(settings.policy(1, own, rules, 0))
}

fn told(what: &str, explanation: &Explanation, depends: &str) -> String {
    let decided = match &explanation.ruling {
        Some(ruling) => {
            let by = match ruling.rule_id {
                Some(id) => format!("rule {id}: {}", ruling.rule),
                None => ruling.rule.to_string(),
            };
            format!("{}, by {by}", ruling.decision.as_str())
        }
        None => depends.to_owned(),
    };
    let mut text = format!("{}: {}\n", printable(what), printable(&decided));
    for step in &explanation.steps {
        let Step { rule_id, line, priority, action, rule, result, why } = step;
        let (result, action) = (result.as_str(), action.as_str());
        text +=
            &format!("  {result:8} rule {rule_id}, line {line}, priority {priority}, {action}: ");
        text += &format!("{}\n           {}\n", printable(rule), printable(why));
    }
    if explanation.left_out > 0 {
        text += &format!("  and {} more that do not hold\n", explanation.left_out);
    }
    text
}

fn target(text: &str) -> Result<Target, String> {
    let expected = || "expected host:port, with IPv6 in brackets".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']').ok_or_else(expected)?,
        None if host.contains(':') => return Err(expected()),
        None => host,
    };
    let port = port.parse().map_err(|_| expected())?;
    let host = Host::from_name(host.as_bytes()).map_err(|error| error.to_string())?;
    Ok(Target::new(host, port))
}

fn command(text: &str) -> Result<Command, String> {
    Command::of_word(text).ok_or_else(|| "expected connect, bind or udp_associate".to_owned())
}

fn moment(text: &str) -> Result<i64, String> {
    clock::moment(text).ok_or_else(|| "expected a time of RFC 3339".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  rustsocks explain --config rustsocks.toml --user alice --source 10.1.2.3 example.com:443
  rustsocks explain --rules new.toml --address 192.0.2.7 example.com:443
  rustsocks explain --replay 7d --rules new.toml";

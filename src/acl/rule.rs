//! One rule: whom and what it is about, and what it then does.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::embedded::{Embedded, READINGS_MAX};
use super::explain::few;
use super::guard::Forbidden;
use super::hours::Hours;
use super::pattern::Pattern;
use super::ports::Ports;
use crate::socks::{Command, CommandSet};

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Lets it pass.
    Allow,
    /// Refuses it.
    Block,
    /// Counts and records that it would have refused it; the rules behind it decide.
    ShadowBlock,
}

impl Action {
    /// The word as it stands in the rule file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::ShadowBlock => "shadow-block",
        }
    }
}

/// One rule. What is empty is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its number: rules are counted from 1 in the order of the file.
    pub id: u32,
    /// Its line in the file, from 1.
    pub line: u32,
    /// What it does.
    pub action: Action,
    /// Greater ones are tried first.
    pub priority: i32,
    /// How records speak of it.
    pub text: Arc<str>,
    /// Whom it is about.
    pub who: Who,
    /// Where to.
    pub destinations: Vec<Destination>,
    /// Ports of the target.
    pub ports: Ports,
    /// What is asked for. Never empty.
    pub commands: CommandSet,
    /// Networks of clients, as [`normal_nets`] gives them.
    pub sources: Vec<IpNet>,
    /// When.
    pub hours: Hours,
    /// The way out of what it allows, by name, where it is another than its user's; only for streams.
    pub egress: Option<Mention>,
    /// The limit on bandwidth of what it allows, by name, beside those of its user.
    pub bandwidth: Option<Mention>,
}

/// What a rule names of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Its name.
    pub name: Arc<str>,
    /// Line and column in the rule file, from 1.
    pub position: (u32, u32),
}

/// Users and groups: any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// Names of users, octet by octet.
    pub users: Vec<Box<str>>,
    /// Names of groups, in lower case; ASCII case does not count.
    pub groups: Vec<Box<str>>,
}

impl Who {
    /// Whether it is about everybody.
    #[must_use]
    pub const fn is_everybody(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }
}

/// A host, or many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Every host.
    Any,
    /// The addresses of a network, mapped ones unwrapped; one address is the smallest.
    Net(IpNet),
    /// Names.
    Name(Pattern),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Name(pattern) => pattern.fmt(f),
        }
    }
}

/// What is asked of the rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) user: &'a str,
    /// Groups that the user is in, whoever says so, in any case.
    pub(super) groups: &'a [Box<str>],
    /// Mapped ones unwrapped.
    pub(super) client: IpAddr,
    pub(super) command: Command,
    /// The name that was asked for.
    pub(super) name: Option<&'a str>,
    /// The address that was asked for, or that the name has; mapped ones unwrapped.
    pub(super) address: Option<IpAddr>,
    /// The IPv4 addresses that it may mean instead.
    pub(super) embedded: Embedded,
    pub(super) port: u16,
    /// The minute of the week, Monday 00:00 being 0; of no meaning where no rule has hours.
    pub(super) minute: u16,
}

/// The first condition that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Who,
    Destination,
    /// It holds for the IPv4 address within the address only, which is enough to block and not to allow.
    Embedded,
    Port,
    Command,
    Source,
    Hours,
}

/// How a rule's destinations hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// For more than the IPv4 address within the address.
    pub(super) direct: bool,
    /// How long the longest prefix is of a network that has the address; 0 where none has.
    pub(super) prefix: u8,
    /// The same of each IPv4 address within the address.
    pub(super) inner_prefixes: [u8; READINGS_MAX],
}

impl Reach {
    /// For the target as it was asked for.
    pub(super) const DIRECT: Self =
        Self { direct: true, prefix: 0, inner_prefixes: [0; READINGS_MAX] };

    /// By a network of this length that has the address.
    pub(super) const fn by_net(prefix: u8) -> Self {
        Self { prefix, ..Self::DIRECT }
    }

    /// By a network of this length that has the IPv4 address within that stands at this place.
    pub(super) fn by_inner_net(place: usize, prefix: u8) -> Self {
        let mut reach = Self::default();
        reach.inner_prefixes[place] = prefix;
        reach
    }

    /// What holds so and so.
    pub(super) fn join(&mut self, other: Self) {
        self.direct |= other.direct;
        self.prefix = self.prefix.max(other.prefix);
        for (ours, theirs) in self.inner_prefixes.iter_mut().zip(other.inner_prefixes) {
            *ours = theirs.max(*ours);
        }
    }

    /// Whether what is forbidden is named, and not only lies in something that is: by a network that is
    /// not wider than what is forbidden. Of an address that is judged by those within it, each that is
    /// forbidden has to be named, or every bit of the whole.
    pub(super) fn names(self, forbidden: Forbidden) -> bool {
        let mut pairs = self.inner_prefixes.iter().zip(forbidden.inner_prefixes);
        let by_inner = forbidden.inner_prefixes != [0; READINGS_MAX];
        self.prefix >= forbidden.prefix || by_inner && pairs.all(|(named, wanted)| *named >= wanted)
    }
}

impl Rule {
    /// What does not hold beside the destinations and whom it is about.
    pub(super) fn miss_beside(&self, query: &Query<'_>) -> Option<Miss> {
        if !self.ports.contains(query.port) {
            Some(Miss::Port)
        } else if !self.commands.contains(query.command) {
            Some(Miss::Command)
        } else if !self.is_source(query.client) {
            Some(Miss::Source)
        } else if !self.hours.contain(query.minute) {
            Some(Miss::Hours)
        } else {
            None
        }
    }

    /// What does not hold, looked at one by one; else how the destinations hold.
    pub(super) fn check(&self, query: &Query<'_>) -> Result<Reach, Miss> {
        if !self.is_about(query) {
            return Err(Miss::Who);
        }
        let reach = self.reach(query).ok_or(Miss::Destination)?;
        if self.action == Action::Allow && !reach.direct {
            return Err(Miss::Embedded);
        }
        self.miss_beside(query).map_or(Ok(reach), Err)
    }

    /// Whether it is about whoever asks.
    pub(super) fn is_about(&self, query: &Query<'_>) -> bool {
        let Who { users, groups } = &self.who;
        self.who.is_everybody()
            || users.iter().any(|user| **user == *query.user)
            || groups
                .iter()
                .any(|group| query.groups.iter().any(|of| of.eq_ignore_ascii_case(group)))
    }

    fn reach(&self, query: &Query<'_>) -> Option<Reach> {
        if self.destinations.is_empty() {
            return Some(Reach::DIRECT);
        }
        let mut found: Option<Reach> = None;
        for destination in &self.destinations {
            let reach = match destination {
                Destination::Any => Reach::DIRECT,
                Destination::Name(pattern) if query.name.is_some_and(|name| pattern.is(name)) => {
                    Reach::DIRECT
                }
                Destination::Net(net) if query.address.is_some_and(|at| net.contains(&at)) => {
                    Reach::by_net(net.prefix_len())
                }
                Destination::Net(net) => {
                    let inner = query.embedded.iter().filter(|(_, reading)| net.contains(reading));
                    for (place, _) in inner {
                        let reach = Reach::by_inner_net(place, net.prefix_len());
                        found.get_or_insert_default().join(reach);
                    }
                    continue;
                }
                Destination::Name(_) => continue,
            };
            found.get_or_insert_default().join(reach);
        }
        found
    }

    /// Whether it is about clients at this address.
    pub(super) fn is_source(&self, client: IpAddr) -> bool {
        if self.sources.is_empty() {
            return true;
        }
        let behind = self.sources.partition_point(|net| net.network() <= client);
        behind > 0 && self.sources[behind - 1].contains(&client)
    }

    /// How records speak of it: what its author said, or else what it says itself; at most
    /// [`TEXT_OCTETS_MAX`] octets.
    #[must_use]
    pub fn describe(&self, description: &str) -> Arc<str> {
        let said = description.trim();
        let text = if said.is_empty() { self.said_by_itself() } else { said.to_owned() };
        if text.len() <= TEXT_OCTETS_MAX {
            return text.into();
        }
        let end =
            (0..=TEXT_OCTETS_MAX - '…'.len_utf8()).rev().find(|at| text.is_char_boundary(*at));
        format!("{}…", &text[..end.unwrap_or(0)]).into()
    }

    fn said_by_itself(&self) -> String {
        let mut text = self.action.as_str().to_owned();
        if self.destinations.is_empty() {
            text.push_str(" *");
        } else {
            text = format!("{text} {}", few(self.destinations.iter()));
        }
        if self.ports != Ports::default() {
            text = format!("{text} port {}", self.ports);
        }
        if self.commands != CommandSet::ALL {
            text = format!("{text} by {}", few(self.commands.iter().map(Command::as_str)));
        }
        if !self.sources.is_empty() {
            text = format!("{text} from {}", few(self.sources.iter()));
        }
        if !self.hours.are_all() {
            text = format!("{text} at {}", self.hours);
        }
        text
    }

    /// Whether it is about any target.
    pub(super) fn is_for_any_destination(&self) -> bool {
        self.destinations.is_empty() || self.destinations.contains(&Destination::Any)
    }
}

/// A network as rules are compared with: IPv4-mapped ones (RFC 4291 §2.5.5.2) as IPv4, no host bits.
#[must_use]
pub fn normal_net(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && v6.prefix_len() >= MAPPED_PREFIX
        && let Some(v4) = v6.network().to_ipv4_mapped()
        && let Ok(net) = IpNet::new(v4.into(), v6.prefix_len() - MAPPED_PREFIX)
    {
        return net.trunc();
    }
    net.trunc()
}

/// Networks as [`normal_net`] has them, sorted, apart from each other.
#[must_use]
pub fn normal_nets(nets: impl IntoIterator<Item = IpNet>) -> Vec<IpNet> {
    let nets: Vec<IpNet> = nets.into_iter().map(normal_net).collect();
    IpNet::aggregate(&nets)
}

/// Octets of a rule's text.
pub const TEXT_OCTETS_MAX: usize = 200;
/// Bits in front of the IPv4 address in a mapped one.
const MAPPED_PREFIX: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_networks_are_ipv4() {
        for (written, meant) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.1/128", "192.0.2.1/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            let net = normal_net(written.parse().unwrap());
            assert_eq!(net, meant.parse::<IpNet>().unwrap(), "{written}");
        }
    }

    #[test]
    fn sources_are_sorted_and_apart() {
        let nets =
            ["2001:db8::/33", "192.0.2.7/32", "10.1.0.0/16", "2001:db8:8000::/33", "10.0.0.0/8"];
        let normal = normal_nets(nets.map(|net| net.parse().unwrap()));
        let meant = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        assert_eq!(normal, meant.map(|net| net.parse::<IpNet>().unwrap()));
    }
}

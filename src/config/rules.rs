//! The rule file: TOML in, [`Rules`] out, or one line that says what is wrong, in which rule, and where.
//!
//! ```toml
//! [global]
//! default_policy = "block"          # where no rule holds
//! [[rules]]                         # for everybody, or for the `users` and `groups` that it names
//! action = "allow"                  # or "block", "shadow-block"
//! destinations = ["*.example.com", "10.0.0.0/8"]
//! [[users]]
//! username = "alice"
//! groups = ["staff"]
//! [[users.rules]]                   # for her alone
//! [[groups]]
//! name = "staff"
//! [[groups.rules]]                  # for its members
//! ```

mod file;
mod words;

use std::collections::{HashMap, HashSet};
use std::fs::File as OpenFile;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use blake2::{Blake2b512, Digest};

use self::file::{Entry, File, Listed};
pub(super) use self::words::{NoNetwork, network, port};
use super::error::{ConfigError, Place};
use super::file::Placed;
use super::source::{Source, closest};
use crate::acl::{
    Action, Decision, Destination, Hours, Mention, Ports, Rule, Rules, RulesBeside, Who,
    normal_nets,
};
use crate::socks::{Command, CommandSet};

/// Reads a rule file.
///
/// # Errors
/// One line that says what is wrong, where, and what was expected.
pub fn load_rules(path: &Path) -> Result<Rules, ConfigError> {
    let failure = |message: String| ConfigError {
        place: Place { file: Some(path.to_path_buf()), position: None },
        key: String::new(),
        message,
        nearest: None,
    };
    let mut text = String::new();
    OpenFile::open(path)
        .and_then(|file| file.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text))
        .map_err(|error| failure(format!("cannot be read: {error}")))?;
    if text.len() as u64 > FILE_OCTETS_MAX {
        return Err(failure(format!("is longer than {FILE_OCTETS_MAX} octets")));
    }
    parse_rules(Some(path), &text)
}

/// The same of a text; `path` is only named.
///
/// # Errors
/// As [`load_rules`].
pub fn parse_rules(path: Option<&Path>, text: &str) -> Result<Rules, ConfigError> {
    let source = Source::of(path, text);
    let file: File = source.read(&toml::Table::new())?;
    let otherwise = match file.global.default_policy.get_ref().as_str() {
        "allow" => Decision::Allow,
        "block" => Decision::Block,
        got => {
            let span = file.global.default_policy.span();
            let message = format!("got {got:?}, expected \"allow\" or \"block\"");
            return Err(source.error(span, "global.default_policy", message));
        }
    };
    let offset = &file.global.utc_offset;
    let utc_offset_minutes = words::utc_offset(offset.get_ref()).ok_or_else(|| {
        let message = format!("got {:?}, expected one such as \"+02:00\"", offset.get_ref());
        source.error(offset.span(), "global.utc_offset", message)
    })?;
    let members = members(&source, &file)?;
    let rules = rules(&source, file)?;
    let rules = Rules::new(rules, RulesBeside { otherwise, members, utc_offset_minutes });
    Ok(rules.with_digest(digest(text)))
}

/// What tells a text from others: the first octets of what `b2sum` says of it.
fn digest(text: &str) -> String {
    let all = Blake2b512::digest(text.as_bytes());
    all.iter().take(DIGEST_OCTETS).map(|octet| format!("{octet:02x}")).collect()
}

/// Which groups the file puts users into.
fn members(
    source: &Source<'_>,
    file: &File,
) -> Result<HashMap<Box<str>, Vec<Box<str>>>, ConfigError> {
    let mut members = HashMap::new();
    for user in &file.users {
        let user = user.get_ref();
        source.name("users.username", &user.username)?;
        let groups = user.groups.iter().map(|group| lower(source, "users.groups", group));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        if members.insert(user.username.get_ref().as_str().into(), groups).is_some() {
            let message =
                format!("got {:?} twice, expected each user once", user.username.get_ref());
            return Err(source.error(user.username.span(), "users.username", message));
        }
    }
    let mut known = HashSet::new();
    for group in &file.groups {
        let name = &group.get_ref().name;
        if !known.insert(lower(source, "groups.name", name)?) {
            let message = format!("got {:?} twice, expected each group once", name.get_ref());
            return Err(source.error(name.span(), "groups.name", message));
        }
    }
    Ok(members)
}

fn lower(source: &Source<'_>, key: &str, group: &Placed<String>) -> Result<Box<str>, ConfigError> {
    source.name(key, group)?;
    Ok(group.get_ref().to_ascii_lowercase().into())
}

/// Where a rule stands.
enum Under {
    Everybody,
    User(Box<str>),
    Group(Box<str>),
}

impl Under {
    const fn key(&self) -> &'static str {
        match self {
            Self::Everybody => "rules",
            Self::User(_) => "users.rules",
            Self::Group(_) => "groups.rules",
        }
    }
}

/// All rules, numbered in the order of the text.
fn rules(source: &Source<'_>, file: File) -> Result<Vec<Rule>, ConfigError> {
    let mut entries: Vec<(Under, Placed<Entry>)> = Vec::new();
    entries.extend(file.rules.into_iter().map(|entry| (Under::Everybody, entry)));
    for user in file.users {
        let user = user.into_inner();
        let name: Box<str> = user.username.get_ref().as_str().into();
        entries.extend(user.rules.into_iter().map(|entry| (Under::User(name.clone()), entry)));
    }
    for group in file.groups {
        let group = group.into_inner();
        let name: Box<str> = group.name.get_ref().to_ascii_lowercase().into();
        entries.extend(group.rules.into_iter().map(|entry| (Under::Group(name.clone()), entry)));
    }
    entries.sort_by_key(|(_, entry)| entry.span().start);
    if entries.len() > RULES_MAX {
        let span = entries[RULES_MAX].1.span();
        return Err(source.error(span, "", format!("is more than {RULES_MAX} rules")));
    }
    let (mut line, mut counted) = (1, 0);
    let mut all = Vec::with_capacity(entries.len());
    for (id, (under, entry)) in (1..).zip(entries) {
        let start = entry.span().start;
        let between = source.text.get(counted..start).unwrap_or_default();
        line += u32::try_from(between.matches('\n').count()).unwrap_or(0);
        counted = start;
        let span = entry.span();
        let reader = Reader { source, under, id, span };
        all.push(reader.rule(line, entry.into_inner())?);
    }
    Ok(all)
}

/// Reads one rule.
struct Reader<'a> {
    source: &'a Source<'a>,
    under: Under,
    id: u32,
    span: Range<usize>,
}

impl Reader<'_> {
    fn rule(&self, line: u32, entry: Entry) -> Result<Rule, ConfigError> {
        let priority = match &entry.priority {
            None => PRIORITY,
            Some(value) => i32::try_from(*value.get_ref()).map_err(|_| {
                let (least, most) = (i32::MIN, i32::MAX);
                let got = value.get_ref();
                self.error(
                    value.span(),
                    "priority",
                    &format!("got {got}, expected {least} to {most}"),
                )
            })?,
        };
        let mut rule = Rule {
            id: self.id,
            line,
            action: self.action(&entry.action)?,
            priority,
            text: Arc::default(),
            who: self.who(&entry)?,
            destinations: self.each("destinations", &entry.destinations, words::destination)?,
            ports: self.ports(&entry)?,
            commands: self.commands(&entry)?,
            sources: normal_nets(self.each("sources", &entry.sources, |text| {
                network(text).map_err(|error| match error {
                    NoNetwork::HostBits(why) => why,
                    NoNetwork::Other => format!(
                        "got {text:?}, expected an address or a network such as \"10.0.0.0/8\""
                    ),
                })
            })?),
            hours: self.hours(&entry)?,
            egress: entry.egress.as_ref().map(|name| self.named(line, name)),
            bandwidth: entry.bandwidth.as_ref().map(|name| self.named(line, name)),
        };
        if let Some(bandwidth) = &entry.bandwidth
            && rule.action != Action::Allow
        {
            let message = "goes only with `action = \"allow\"`: nothing else has any";
            return Err(self.error(bandwidth.span(), "bandwidth", message));
        }
        if let Some(egress) = &entry.egress {
            let datagrams = rule.commands.contains(Command::UdpAssociate);
            if rule.action != Action::Allow || datagrams {
                let message = "goes only with `action = \"allow\"` and `protocols = [\"tcp\"]`: \
                               datagrams leave by their user's way";
                return Err(self.error(egress.span(), "egress", message));
            }
        }
        // One "any" is as good as many.
        if rule.destinations.iter().all(|destination| *destination == Destination::Any) {
            rule.destinations.clear();
        }
        rule.text = rule.describe(&entry.description);
        Ok(rule)
    }

    /// What this rule, which begins in that line, names of the configuration.
    fn named(&self, line: u32, name: &Placed<String>) -> Mention {
        let (first, start) = (self.span.start, name.span().start);
        let between = self.source.text.get(first..start).unwrap_or_default();
        let lines = u32::try_from(between.matches('\n').count()).unwrap_or(0);
        // From the line's own beginning, which may lie before the rule's.
        let before = self.source.text.get(..start).unwrap_or_default();
        let beside = before.rsplit('\n').next().unwrap_or_default();
        let column = u32::try_from(beside.chars().count()).unwrap_or(0) + 1;
        let name = name.get_ref().as_str().into();
        Mention { name, position: (line + lines, column) }
    }

    fn action(&self, action: &Placed<String>) -> Result<Action, ConfigError> {
        let got = action.get_ref().as_str();
        let all = [Action::Allow, Action::Block, Action::ShadowBlock];
        all.into_iter().find(|action| action.as_str() == got).ok_or_else(|| {
            let message = format!("got {got:?}, expected \"allow\", \"block\" or \"shadow-block\"");
            let nearest = closest(got, all.iter().map(|action| action.as_str()));
            let nearest = nearest.map(str::to_owned);
            ConfigError { nearest, ..self.error(action.span(), "action", &message) }
        })
    }

    fn who(&self, entry: &Entry) -> Result<Who, ConfigError> {
        match &self.under {
            Under::Everybody => {}
            Under::User(_) | Under::Group(_) => {
                let written = [("users", &entry.users), ("groups", &entry.groups)];
                if let Some((field, list)) = written
                    .iter()
                    .find_map(|(field, list)| list.as_ref().map(|list| (*field, list)))
                {
                    let message = "does not go with a rule below a user or a group; expected it in \
                                   `[[rules]]` only";
                    return Err(self.error(list.span(), field, message));
                }
            }
        }
        match &self.under {
            Under::User(name) => Ok(Who { users: vec![name.clone()], groups: Vec::new() }),
            Under::Group(name) => Ok(Who { users: Vec::new(), groups: vec![name.clone()] }),
            Under::Everybody => {
                let named = |text: &str| match text.len() {
                    1..=NAME_MAX => Ok(Box::from(text)),
                    octets => {
                        Err(format!("got a name of {octets} octets, expected 1 to {NAME_MAX}"))
                    }
                };
                let mut groups = self.each("groups", &entry.groups, named)?;
                groups.iter_mut().for_each(|group: &mut Box<str>| group.make_ascii_lowercase());
                Ok(Who { users: self.each("users", &entry.users, named)?, groups })
            }
        }
    }

    fn ports(&self, entry: &Entry) -> Result<Ports, ConfigError> {
        let mut ranges = Vec::new();
        for word in self.list("ports", &entry.ports)? {
            let text = &word.get_ref().0;
            let read = words::ports(text).ok_or_else(|| {
                let message = format!(
                    "got {text:?}, expected ports from 0 to 65535 such as 443, \"8000-9000\", \
                     \"80,443\" or \"*\""
                );
                self.error(word.span(), "ports", &message)
            })?;
            ranges.extend(read);
        }
        let ports = Ports::of(ranges);
        Ok(if ports == Ports::of([(0, u16::MAX)]) { Ports::default() } else { ports })
    }

    fn commands(&self, entry: &Entry) -> Result<CommandSet, ConfigError> {
        let (tcp, udp) = (
            CommandSet::NONE.with(Command::Connect).with(Command::Bind),
            CommandSet::NONE.with(Command::UdpAssociate),
        );
        let protocols =
            [("tcp", tcp), ("udp", udp), ("both", CommandSet::ALL), ("*", CommandSet::ALL)];
        let commands =
            Command::ALL.map(|command| (command.as_str(), CommandSet::NONE.with(command)));
        let by_protocol = self.set("protocols", &entry.protocols, &protocols)?;
        let set = self.set("commands", &entry.commands, &commands)?.and(by_protocol);
        if set == CommandSet::NONE {
            let span = entry.commands.as_ref().map_or(self.span.clone(), Placed::span);
            let message = "expected a command of the rule's `protocols`: \"connect\" and \"bind\" go \
                           by tcp, \"udp_associate\" by udp";
            return Err(self.error(span, "commands", message));
        }
        Ok(set)
    }

    fn set(
        &self,
        field: &str,
        list: &Listed<String>,
        known: &[(&str, CommandSet)],
    ) -> Result<CommandSet, ConfigError> {
        if list.is_none() {
            return Ok(CommandSet::ALL);
        }
        let words =
            known.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(", ");
        let sets = self.each(field, list, |text| {
            let found = known.iter().find(|(word, _)| text.eq_ignore_ascii_case(word));
            found
                .map(|(_, set)| *set)
                .ok_or_else(|| format!("got {text:?}, expected some of {words}"))
        })?;
        Ok(sets.into_iter().fold(CommandSet::NONE, CommandSet::or))
    }

    fn hours(&self, entry: &Entry) -> Result<Hours, ConfigError> {
        let texts = self.each("hours", &entry.hours, |text| match Hours::parse([text]) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(format!(
                "got {text:?}, expected days, hours, or both: \"mon-fri 08:00-18:00\", \"sat,sun\", \
                 \"22:00-06:00\""
            )),
        })?;
        Ok(Hours::parse(texts.iter().map(String::as_str)).unwrap_or_default())
    }

    /// Reads each text of a list.
    fn each<T>(
        &self,
        field: &str,
        list: &Listed<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let read = |text: &Placed<String>| {
            read(text.get_ref()).map_err(|message| self.error(text.span(), field, &message))
        };
        self.list(field, list)?.iter().map(read).collect()
    }

    /// The words of a list, which is not there or has some.
    fn list<'l, T>(
        &self,
        field: &str,
        list: &'l Listed<T>,
    ) -> Result<&'l [Placed<T>], ConfigError> {
        match list {
            None => Ok(&[]),
            Some(list) if list.get_ref().is_empty() => {
                let message =
                    "got none, expected at least one; leave the key out where any will do";
                Err(self.error(list.span(), field, message))
            }
            Some(list) => Ok(list.get_ref()),
        }
    }

    fn error(&self, span: Range<usize>, field: &str, message: &str) -> ConfigError {
        let of = match &self.under {
            Under::Everybody => String::new(),
            Under::User(name) | Under::Group(name) => format!(" of {name:?}"),
        };
        let key = format!("{}.{field}", self.under.key());
        self.source.error(span, &key, format!("rule {}{of}: {message}", self.id))
    }
}

/// The priority of a rule that says none.
const PRIORITY: i32 = 100;
/// Octets of a digest that are shown.
const DIGEST_OCTETS: usize = 4;
/// Octets of a user's or a group's name.
const NAME_MAX: usize = super::source::NAME_MAX;
/// Octets of a rule file.
const FILE_OCTETS_MAX: u64 = 128 << 20;
/// Rules of one file.
const RULES_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests;

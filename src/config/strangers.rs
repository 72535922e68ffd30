//! Names of users and groups of whom something is said and that nobody bears, and groups that the rule file
//! puts somebody into and of which nothing is said: a slip of the pen, or somebody who is to come. A limit
//! for `alcie` limits nobody, and would not say so.

use std::collections::{BTreeMap, HashSet};

use super::settings::Settings;
use super::source::closest;
use crate::acl::Rules;

/// What names are compared with.
struct Known<'a> {
    settings: &'a Settings,
    /// In lower case: ASCII case does not count in them.
    groups: HashSet<String>,
}

/// For each name that nobody has, where it stands.
#[derive(Default)]
struct Strangers<'a>(BTreeMap<(&'static str, &'a str), Vec<String>>);

impl Settings {
    /// A line for each name of a user or a group in limits, ways out and `rules` that nobody has, or of which
    /// nothing is said.
    pub(super) fn strangers(&self, rules: Option<&Rules>) -> Vec<String> {
        let mut known = Known::of(self);
        // The rule file puts users into groups, too.
        let listed = rules.into_iter().flat_map(Rules::listed_groups);
        known.groups.extend(listed.map(str::to_ascii_lowercase));
        let mut strangers = Strangers::default();
        for limit in &self.limits.bandwidths {
            let place = || format!("limits.bandwidth {:?}", limit.name);
            strangers.look(&known, (&limit.whom.users, &limit.whom.groups), place);
        }
        for quota in &self.limits.quotas {
            let place = || format!("limits.quotas {:?}", quota.name);
            strangers.look(&known, (&quota.whom.users, &quota.whom.groups), place);
        }
        for named in &self.egress.named {
            let place = || format!("egress.named {:?}", named.name);
            strangers.look(&known, (&named.users, &named.groups), place);
        }
        for rule in rules.into_iter().flat_map(Rules::ordered) {
            let place = || format!("rule {} (line {})", rule.id, rule.line);
            strangers.look(&known, (&rule.who.users, &rule.who.groups), place);
        }
        if let Some(rules) = rules {
            strangers.look_at_members(&known, rules, &self.groups_said(rules));
        }
        let mut lines = strangers.lines(&known);
        lines.extend(self.idle_bandwidths(rules));
        lines
    }

    /// A line for each limit on bandwidth that is neither anybody's nor any rule's.
    fn idle_bandwidths(&self, rules: Option<&Rules>) -> impl Iterator<Item = String> {
        let rules = rules.into_iter().flat_map(Rules::ordered);
        let named = rules.filter_map(|rule| rule.bandwidth.as_ref()).map(|named| &*named.name);
        let named: HashSet<&str> = named.collect();
        let idle = self.limits.bandwidths.iter().filter(move |limit| {
            let whom = &limit.whom;
            let anybodys = whom.everybody || !whom.users.is_empty() || !whom.groups.is_empty();
            !anybodys && !named.contains(&*limit.name)
        });
        idle.take(LINES_MAX).map(|limit| {
            format!(
                "limits.bandwidth {:?} limits nobody: it has no `users` and no `groups`, and \
                 no rule names it",
                limit.name
            )
        })
    }

    /// The groups that somebody is in by the configuration, and those of which it or `rules` say anything,
    /// in lower case.
    fn groups_said(&self, rules: &Rules) -> HashSet<String> {
        let limits = self.limits.bandwidths.iter().flat_map(|of| &of.whom.groups);
        let quotas = self.limits.quotas.iter().flat_map(|of| &of.whom.groups);
        let egress = self.egress.named.iter().flat_map(|of| &of.groups);
        let rules = rules.ordered().iter().flat_map(|rule| &rule.who.groups);
        let said = limits.chain(quotas).map(AsRef::<str>::as_ref);
        let said = said.chain(egress.map(AsRef::as_ref)).chain(rules.map(AsRef::as_ref));
        said.chain(self.auth.users.groups()).map(str::to_ascii_lowercase).collect()
    }
}

impl<'a> Known<'a> {
    fn of(settings: &'a Settings) -> Self {
        let groups = settings.auth.users.groups().map(str::to_ascii_lowercase);
        // Nobody is in a group who need not say who he is.
        let groups = groups.filter(|_| settings.auth.required).collect();
        Self { settings, groups }
    }

    fn user(&self, name: &str) -> bool {
        let auth = &self.settings.auth;
        // Whom the host knows is not ours to know.
        let logs_in = || auth.required && (auth.pam.is_some() || auth.users.has(name));
        name == self.settings.acl.anonymous_user || logs_in()
    }

    fn group(&self, name: &str) -> bool {
        self.groups.contains(&name.to_ascii_lowercase())
    }
}

impl<'a> Strangers<'a> {
    fn look<T: AsRef<str>>(
        &mut self,
        known: &Known<'_>,
        (users, groups): (&'a [T], &'a [T]),
        place: impl Fn() -> String,
    ) {
        let users = users.iter().map(AsRef::as_ref).filter(|name| !known.user(name));
        let groups = groups.iter().map(AsRef::as_ref).filter(|name| !known.group(name));
        let users = users.map(|name| (USER, name));
        for stranger in users.chain(groups.map(|name| (GROUP, name))) {
            self.note(stranger, &place);
        }
    }

    /// Whom the rule file puts into which groups.
    fn look_at_members(&mut self, known: &Known<'_>, rules: &'a Rules, said: &HashSet<String>) {
        let mut members: Vec<_> = rules.members().iter().collect();
        members.sort_unstable();
        for (user, groups) in members {
            // One rule of theirs is place enough.
            if !known.user(user) && !self.0.contains_key(&(USER, &**user)) {
                self.note((USER, user), || "users of the rule file".to_owned());
            }
            for group in groups.iter().filter(|group| !said.contains(&***group)) {
                self.note((IDLE, group), || format!("users {user:?} of the rule file"));
            }
        }
    }

    fn note(&mut self, stranger: (&'static str, &'a str), place: impl Fn() -> String) {
        let places = self.0.entry(stranger).or_default();
        // One may stand in very many rules.
        if places.len() < PLACES_MAX {
            places.push(place());
        } else if places.len() == PLACES_MAX {
            places.push("others".to_owned());
        }
    }

    fn lines(self, known: &Known<'_>) -> Vec<String> {
        let left_out = self.0.len().saturating_sub(LINES_MAX);
        let line = |((kind, name), places): ((&str, &str), Vec<String>)| {
            let auth = &known.settings.auth;
            let meant = if kind == USER {
                auth.users
                    .names()
                    .find(|user| user.eq_ignore_ascii_case(name))
                    .or_else(|| closest(name, auth.users.names().take(COMPARED_MAX)))
            } else if kind == IDLE {
                None
            } else {
                closest(name, known.groups.iter().take(COMPARED_MAX).map(String::as_str))
            };
            let meant = meant.filter(|_| auth.required);
            let meant = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
            format!("{kind} {name:?}, named by {}{meant}", places.join(", "))
        };
        let mut lines: Vec<String> = self.0.into_iter().take(LINES_MAX).map(line).collect();
        if left_out > 0 {
            lines.push(format!(
                "{left_out} more names of users and groups are nobody's, or nothing is said of them"
            ));
        }
        lines
    }
}

const USER: &str = "nobody is the user";
const GROUP: &str = "nobody is in the group";
const IDLE: &str = "nothing is said of the group";
/// Lines at most; whoever has slipped so often sees it by these.
const LINES_MAX: usize = 20;
/// Places in one line.
const PLACES_MAX: usize = 3;
/// Names among which the one that was meant is looked for, for each that nobody has.
const COMPARED_MAX: usize = 1000;

// A build without a database refuses what is configured by default, and so whatever is tried here.
#[cfg(test)]
#[cfg(feature = "database")]
mod tests {
    use super::*;
    use crate::config::parse_rules;

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
    const LIMITS: &str = "[[limits.quotas]]\nname = \"monthly\"\nusers = [\"alice\", \"bob\", \"*\"]\n\
        groups = [\"Staff\", \"guests\"]\nperiod = \"day\"\nlimit_mib = 1\n\
        [[limits.bandwidth]]\nname = \"home\"\nusers = [\"bob\"]\nupload_kbit = 1\n\
        [[egress.named]]\nname = \"second\"\nusers = [\"Alice\"]\nmark = 1\n";
    const RULES: &str = "[[users]]\nusername = \"alice\"\ngroups = [\"night\"]\n\
        [[users.rules]]\naction = \"allow\"\n[[groups]]\nname = \"NIGHT\"\n[[groups.rules]]\n\
        action = \"allow\"\n[[users]]\nusername = \"carol\"\n[[users.rules]]\naction = \"allow\"\n\
        [[users]]\nusername = \"dave\"\ngroups = [\"nigth\", \"staff\"]\n";

    /// With alice in a file of users.
    fn lines(method: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let users = directory.path().join("users");
        std::fs::write(&users, format!("alice:{HASH}:STAFF\n")).unwrap();
        let users = users.display();
        let text =
            format!("{LIMITS}[auth]\nsocks_method = \"{method}\"\nusers_file = \"{users}\"\n");
        let settings = Settings::parse(None, &text).unwrap().0;
        settings.strangers(Some(&parse_rules(None, RULES).unwrap()))
    }

    #[test]
    fn names_that_nobody_has_are_told_with_their_places_and_what_may_be_meant() {
        assert_eq!(
            lines("userpass"),
            [
                "nobody is in the group \"guests\", named by limits.quotas \"monthly\"",
                "nobody is the user \"Alice\", named by egress.named \"second\"; did you mean \"alice\"?",
                "nobody is the user \"bob\", named by limits.bandwidth \"home\", limits.quotas \"monthly\"",
                "nobody is the user \"carol\", named by rule 3 (line 12)",
                "nobody is the user \"dave\", named by users of the rule file",
                "nothing is said of the group \"nigth\", named by users \"dave\" of the rule file",
            ]
        );
    }

    #[test]
    fn where_nobody_logs_in_there_is_nobody_but_the_anonymous_user() {
        assert!(lines("none").iter().any(|line| line.starts_with("nobody is the user \"alice\"")));
        let none = Settings::parse(None, "").unwrap().0;
        let rules = "[[users]]\nusername = \"anonymous\"\n[[users.rules]]\naction = \"allow\"\n";
        assert_eq!(none.strangers(Some(&parse_rules(None, rules).unwrap())), [""; 0]);
        assert_eq!(none.strangers(None), [""; 0]);
    }

    #[test]
    fn very_many_are_cut_short() {
        let users = |number: usize| format!("\"user{number}\"");
        let users: Vec<String> = (0..50).map(users).collect();
        let text = format!(
            "[[limits.bandwidth]]\nname = \"a\"\nusers = [{}]\nupload_kbit = 1\n",
            users.join(", ")
        );
        let found = Settings::parse(None, &text).unwrap().0.strangers(None);
        assert_eq!(found.len(), LINES_MAX + 1);
        assert_eq!(
            found[LINES_MAX],
            "30 more names of users and groups are nobody's, or nothing is said of them"
        );
    }
}

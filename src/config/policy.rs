//! From settings and rules to the [`Policy`] that workers judge by.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, Place};
use super::rules::load_rules;
use super::settings::{AclSettings, Settings};
use crate::acl::{Acl, Guard, Mention, OwnListeners, Rules};
use crate::auth::Users;
use crate::egress::Egresses;
use crate::limit::{LimitPolicy, LimitTerms};
use crate::policy::{Policy, Timeouts};
use crate::socks::MethodSet;

impl AclSettings {
    /// The rules of the configured file; `None` where there are to be none.
    ///
    /// # Errors
    /// One line that says what is wrong, where, and what was expected.
    fn load_rules(&self) -> Result<Option<Arc<Rules>>, ConfigError> {
        let Some(path) = &self.rule_file else { return Ok(None) };
        let load = |path: &Path| load_rules(path).map(Arc::new);
        load(path).map(Some).map_err(|error| error.named_by("acl.config_file", path))
    }
}

impl Settings {
    /// The rules of the configured file; `None` where there are to be none.
    ///
    /// # Errors
    /// As [`AclSettings::load_rules`]; and of a rule whose way out or limit is not configured.
    pub fn load_rules(&self) -> Result<Option<Arc<Rules>>, ConfigError> {
        let rules = self.acl.load_rules()?;
        let egress = |name: &str| self.egress.named.iter().any(|named| named.name == name);
        let bandwidth =
            |name: &str| self.limits.bandwidths.iter().any(|limit| *limit.name == *name);
        for rule in rules.iter().flat_map(|rules| rules.ordered()) {
            let unknown = |key: &str, named: &Mention, section: &str| {
                let (line, column) = named.position;
                let number = |of: u32| usize::try_from(of).unwrap_or_default();
                let position = Some((number(line), number(column)));
                let name = &named.name;
                ConfigError {
                    place: Place { file: self.acl.rule_file.clone(), position },
                    key: format!("rule {}: {key}", rule.id),
                    message: format!("got {name:?}, expected the name of an `[[{section}]]`"),
                    nearest: None,
                }
            };
            if let Some(named) = rule.egress.as_ref().filter(|named| !egress(&named.name)) {
                return Err(unknown("egress", named, "egress.named"));
            }
            if let Some(named) = rule.bandwidth.as_ref().filter(|named| !bandwidth(&named.name)) {
                return Err(unknown("bandwidth", named, "limits.bandwidth"));
            }
        }
        Ok(rules)
    }

    /// A line for each thing that is allowed and hardly meant: names that nobody has, and rules that are
    /// so many and so alike that they make decisions slow.
    #[must_use]
    pub fn doubts(&self, rules: Option<&Rules>) -> Vec<String> {
        let crowds = rules.into_iter().flat_map(Rules::crowds).map(ToString::to_string);
        self.strangers(rules).into_iter().chain(crowds).collect()
    }

    /// Who may log in, with all groups that they are in: those that a login gives, and those of the rule
    /// file. Rules, limits, quotas and ways out all have them from here.
    fn users(&self, rules: Option<&Rules>) -> Arc<Users> {
        match rules.map(Rules::members).filter(|members| !members.is_empty()) {
            Some(members) => Arc::new(Users::clone(&self.auth.users).with_members(members)),
            None => Arc::clone(&self.auth.users),
        }
    }

    /// What is limited, of whom, where these are the rules.
    #[must_use]
    pub fn limit_terms(&self, rules: Option<&Rules>) -> LimitTerms {
        LimitTerms { users: self.users(rules), ..self.limits.clone() }
    }

    /// The policy of this number, with rules, and with counts for so many workers.
    #[must_use]
    pub fn policy(
        &self,
        generation: u64,
        own: OwnListeners,
        rules: Option<Arc<Rules>>,
        workers: usize,
    ) -> Policy {
        let server = &self.server;
        let guard = if self.acl.guard { Guard::Auto(own) } else { Guard::Off };
        let terms = self.limit_terms(rules.as_deref());
        let users = Arc::clone(&terms.users);
        let acl = match rules {
            Some(rules) => Acl::with_rules(guard, rules),
            None => Acl::new(guard),
        };
        Policy {
            generation,
            methods: if self.auth.required { MethodSet::USERPASS } else { MethodSet::NO_AUTH },
            commands: server.commands,
            associations: server.associations.clone(),
            anonymous: users.anonymous(&self.acl.anonymous_user),
            users,
            acl: acl.counting_for(workers),
            egress: Arc::new(Egresses::new(&self.egress.default, &self.egress.named)),
            bans: self.auth.bans,
            limits: LimitPolicy { terms: Arc::new(terms), limits: Arc::default() },
            timeouts: Timeouts {
                handshake: server.handshake_timeout,
                connect: server.connect_timeout,
                attempt: server.attempt_delay,
                idle: server.idle_timeout,
                half_close: server.half_close_timeout,
                linger: LINGER,
                keepalive_secs: server.keepalive_secs,
            },
        }
    }
}

/// How long a refused client's reply, or the octets before a reset, may take to leave.
const LINGER: Duration = Duration::from_secs(2);

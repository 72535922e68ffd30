//! `/api/acl/rules`, `/api/acl/explain` and `/api/admin/reload`: the rules, why they decide as they do, and
//! new ones.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::openapi::Address;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::RulesQuery;
use crate::acl::{Explanation, Rule, Step};
use crate::clock;
use crate::policy::Policy;
use crate::socks::{Command, Request};
use crate::target::{Host, Target};

/// Reloads for whoever is named.
pub type Reload = Box<dyn Fn(String) -> Result<Reloaded, NotReloaded> + Send + Sync>;

/// Why there is nothing to say of what a reload did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReloaded {
    /// What was read is not to be had. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// It was not begun, because others are at it; later it may be. Nothing has changed.
    #[error("{0}")]
    Busy(String),
    /// It goes on, longer than it is waited for.
    #[error("{0}")]
    GoesOn(String),
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reloaded {
    /// The number of the policy that is in force now.
    pub generation: u64,
    /// Workers that judge by it: all.
    pub workers: usize,
    /// Rules that it has.
    pub rules: usize,
    /// What is different from before: keys of the configuration, and the rules in a sentence.
    pub changed: Vec<String>,
    /// Keys whose new values only a restart applies.
    pub needs_restart: Vec<String>,
    /// What the configuration is warned of.
    pub warnings: Vec<String>,
}

/// A page of the rules in force, in the order in which they are tried.
#[derive(Serialize, ToSchema)]
pub(super) struct Rules {
    /// The number of the policy.
    generation: u64,
    /// `allow` or `block`: what is decided where no rule holds.
    default_policy: &'static str,
    /// `auto` or `off`.
    guard: &'static str,
    data: Vec<OneRule>,
    /// Where to go on; `null` when nothing is left.
    #[schema(required)]
    next_cursor: Option<u32>,
    /// All rules.
    total: usize,
}

/// One rule. What is empty is no condition.
#[derive(Serialize, ToSchema)]
#[schema(as = Rule)]
struct OneRule {
    /// Its number: rules are counted from 1 in the order of the file.
    rule_id: u32,
    /// Its line in the rule file.
    line: u32,
    /// Greater ones are tried first.
    priority: i32,
    /// `allow`, `block` or `shadow-block`.
    action: &'static str,
    /// How records speak of it.
    rule: String,
    /// The first of them, where there are many.
    users: Vec<String>,
    /// How many are not shown.
    users_left_out: usize,
    /// The first of them, where there are many.
    groups: Vec<String>,
    /// How many are not shown.
    groups_left_out: usize,
    /// The first of them, where there are many.
    destinations: Vec<String>,
    /// How many are not shown.
    destinations_left_out: usize,
    ports: String,
    commands: Vec<&'static str>,
    /// The first of them, where there are many.
    sources: Vec<String>,
    /// How many are not shown.
    sources_left_out: usize,
    hours: String,
    /// The way out of what it allows, by name; `null` where it is its user's.
    #[schema(required)]
    egress: Option<String>,
    /// The limit on bandwidth of what it allows, by name, beside those of its user.
    #[schema(required)]
    bandwidth: Option<String>,
    /// How often it has decided since the rules were changed, or since the start.
    hits: u64,
    /// How often it would have refused since then, being on trial.
    shadow_hits: u64,
}

/// What somebody would want to do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// `host:port`, IPv6 in brackets.
    #[schema(examples("example.com:443"))]
    target: String,
    /// The user; without one it is nobody who has logged in.
    #[serde(default)]
    #[schema(examples("alice"))]
    user: Option<String>,
    /// Groups of the user, beside those that the configuration gives.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    groups: Vec<Box<str>>,
    /// The client's address; without one it is on this machine.
    #[serde(default)]
    #[schema(value_type = Option<Address>)]
    source: Option<String>,
    /// Without one it is `connect`.
    #[serde(default)]
    #[schema(pattern = "^(connect|bind|udp_associate)$", examples("connect"))]
    command: Option<String>,
    /// Addresses that the name of the target has.
    #[serde(default)]
    #[schema(value_type = Vec<Address>, max_items = 32)]
    addresses: Vec<IpAddr>,
    /// When, RFC 3339; without it now.
    #[serde(default)]
    #[schema(format = DateTime, examples("2026-01-31T08:00:00Z"))]
    at: Option<String>,
}

/// What would be decided, and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(super) struct Answer {
    /// The number of the policy.
    policy_generation: u64,
    /// Whether `server.commands` has the command; one that it has not is refused whatever the rules say.
    command_offered: bool,
    /// Whether a client may come under the name of this user; where nobody is it, this is what would be
    /// decided for one who was. Whom PAM may let in is taken for somebody, and so is `acl.anonymous_user`.
    user_known: bool,
    /// `allow` or `block`; `null` when it depends on the address that the name has, on who comes to a BIND
    /// for anybody (0.0.0.0), or on what each datagram of an association is for.
    #[schema(required)]
    decision: Option<&'static str>,
    /// How records speak of what decided.
    #[schema(required)]
    rule: Option<String>,
    /// Its number, if it is a rule of the file.
    #[schema(required)]
    rule_id: Option<u32>,
    /// The first rule on trial that would have refused.
    #[schema(required)]
    shadow_rule_id: Option<u32>,
    /// Rule by rule.
    trace: Vec<TraceStep>,
    /// Rules passed over of which nothing is said.
    left_out: usize,
    /// The same for each address of the name.
    addresses: Vec<AddressAnswer>,
}

/// What would be decided on one address.
#[derive(Serialize, ToSchema)]
#[schema(as = AddressExplanation)]
struct AddressAnswer {
    #[schema(value_type = Address)]
    address: IpAddr,
    /// `allow` or `block`.
    #[schema(required)]
    decision: Option<&'static str>,
    /// How records speak of what decided.
    #[schema(required)]
    rule: Option<String>,
    /// Its number, if it is a rule of the file.
    #[schema(required)]
    rule_id: Option<u32>,
    /// The first rule on trial that would have refused.
    #[schema(required)]
    shadow_rule_id: Option<u32>,
    /// Rule by rule.
    trace: Vec<TraceStep>,
    /// Rules passed over of which nothing is said.
    left_out: usize,
}

/// What one rule said to it.
#[derive(Serialize, ToSchema)]
struct TraceStep {
    rule_id: u32,
    line: u32,
    priority: i32,
    action: &'static str,
    rule: String,
    /// `decides`, `shadows`, `guarded` or `missed`.
    result: &'static str,
    /// In a sentence.
    why: String,
}

impl Api {
    /// `GET /api/acl/rules`
    pub(super) fn rules(&self, request: &ApiRequest, query: &RulesQuery) -> ApiReply {
        let Some(policy) = self.in_force.current() else { return not_yet() };
        let rules = policy.acl.rules();
        let all = rules.map_or(&[][..], |rules| rules.ordered());
        let first = (query.cursor as usize).min(all.len());
        let end = all.len().min(first + query.limit as usize);
        let next = (end < all.len()).then_some(end);
        let next = next.and_then(|next| u32::try_from(next).ok());
        let reply = ApiReply::json(&Rules {
            generation: policy.generation,
            default_policy: rules.map_or("allow", |rules| rules.otherwise().as_str()),
            guard: if policy.acl.is_guarded() { "auto" } else { "off" },
            data: all[first..end].iter().map(|rule| OneRule::of(rule, &policy)).collect(),
            next_cursor: next,
            total: all.len(),
        });
        reply.with_next(request, "cursor", next.map(|next| next.to_string()).as_deref())
    }

    /// `POST /api/acl/explain`
    pub(super) fn explain(&self, request: &ApiRequest) -> ApiReply {
        let Some(policy) = self.in_force.current() else { return not_yet() };
        let question: Question = match serde_json::from_slice(&request.body) {
            Ok(question) => question,
            Err(error) => return ApiReply::problem(400, &format!("the body: {error}")),
        };
        match question.answer(&policy) {
            Ok(answer) => ApiReply::json(&answer),
            Err(why) => ApiReply::problem(400, &why),
        }
    }

    /// `POST /api/admin/reload`
    pub(super) fn reload(&self, request: &ApiRequest) -> ApiReply {
        if !request.body.is_empty() {
            return ApiReply::problem(
                400,
                "this takes no body: the files are read from their places",
            );
        }
        match (self.reload)(format!("the API, asked from {}", request.client)) {
            Ok(reloaded) => ApiReply::json(&reloaded),
            Err(not) => not.reply(),
        }
    }
}

impl NotReloaded {
    fn reply(&self) -> ApiReply {
        let (status, detail) = match self {
            Self::Refused(why) => (409, format!("nothing has changed: {why}")),
            Self::Busy(why) => (503, format!("nothing has changed: {why}")),
            Self::GoesOn(why) => (504, why.clone()),
        };
        let reply = ApiReply::problem(status, &detail);
        match self {
            Self::Busy(_) => reply.with_header("Retry-After", RETRY_AFTER_SECS),
            Self::Refused(_) | Self::GoesOn(_) => reply,
        }
    }
}

impl OneRule {
    fn of(rule: &Rule, policy: &Policy) -> Self {
        let all = [Command::Connect, Command::Bind, Command::UdpAssociate];
        let hits = policy.acl.hits(rule.id);
        let (users, users_left_out) = shown(&rule.who.users);
        let (groups, groups_left_out) = shown(&rule.who.groups);
        let (destinations, destinations_left_out) = shown(&rule.destinations);
        let (sources, sources_left_out) = shown(&rule.sources);
        Self {
            rule_id: rule.id,
            line: rule.line,
            priority: rule.priority,
            action: rule.action.as_str(),
            rule: rule.text.to_string(),
            users,
            users_left_out,
            groups,
            groups_left_out,
            destinations,
            destinations_left_out,
            ports: rule.ports.to_string(),
            commands: all
                .into_iter()
                .filter(|command| rule.commands.contains(*command))
                .map(Command::as_str)
                .collect(),
            sources,
            sources_left_out,
            hours: rule.hours.to_string(),
            egress: rule.egress.as_ref().map(|of| of.name.to_string()),
            bandwidth: rule.bandwidth.as_ref().map(|of| of.name.to_string()),
            hits: hits.hits,
            shadow_hits: hits.shadow_hits,
        }
    }
}

/// The first of a rule's list, and how many are left out.
fn shown(list: &[impl ToString]) -> (Vec<String>, usize) {
    let first = list.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    (first, list.len().saturating_sub(SHOWN_MAX))
}

impl Question {
    fn answer(&self, policy: &Policy) -> Result<Answer, String> {
        let target = target(&self.target)
            .ok_or_else(|| format!("`target` is {:?}, expected host:port", self.target))?;
        let client = match &self.source {
            None => IpAddr::from([127, 0, 0, 1]),
            Some(text) => text
                .parse::<IpAddr>()
                .map_err(|_| format!("`source` is {text:?}, expected an IP address"))?,
        };
        let word = self.command.as_deref().unwrap_or("connect");
        let all = [Command::Connect, Command::Bind, Command::UdpAssociate];
        let command =
            all.into_iter().find(|command| command.as_str() == word).ok_or_else(|| {
                format!(
                    "`command` is {word:?}, expected \"connect\", \"bind\" or \"udp_associate\""
                )
            })?;
        let utc_ms = match &self.at {
            None => clock::utc_ms(),
            Some(text) => clock::moment(text)
                .ok_or_else(|| format!("`at` is {text:?}, expected a time of RFC 3339"))?,
        };
        if self.addresses.len() > ADDRESSES_MAX {
            return Err(format!("`addresses` has more than {ADDRESSES_MAX}"));
        }
        let rules = policy.acl.rules().map_or(0, |rules| rules.ordered().len());
        let most = affordable(rules);
        if self.addresses.len() > most {
            return Err(format!(
                "`addresses` has {}, and of {rules} rules one question may have {most}",
                self.addresses.len()
            ));
        }
        let user = self.user.as_deref().unwrap_or(policy.anonymous.user());
        let identity = policy.users.supposed(user, &self.groups);
        let request = Request { command, target };
        let explained = policy.acl.explain((&identity, client), &request, utc_ms, &self.addresses);
        let Explanation { ruling, steps, left_out } = explained.request;
        let addresses = explained.addresses.into_iter().map(|(address, story)| AddressAnswer {
            address,
            decision: story.ruling.as_ref().map(|ruling| ruling.decision.as_str()),
            rule: story.ruling.as_ref().map(|ruling| ruling.rule.to_string()),
            rule_id: story.ruling.as_ref().and_then(|ruling| ruling.rule_id),
            shadow_rule_id: story.ruling.as_ref().and_then(|ruling| ruling.shadow),
            trace: trace(story.steps),
            left_out: story.left_out,
        });
        Ok(Answer {
            policy_generation: policy.generation,
            command_offered: policy.commands.contains(command),
            user_known: policy.knows(user),
            decision: ruling.as_ref().map(|ruling| ruling.decision.as_str()),
            rule: ruling.as_ref().map(|ruling| ruling.rule.to_string()),
            rule_id: ruling.as_ref().and_then(|ruling| ruling.rule_id),
            shadow_rule_id: ruling.as_ref().and_then(|ruling| ruling.shadow),
            trace: trace(steps),
            left_out,
            addresses: addresses.collect(),
        })
    }
}

fn trace(steps: Vec<Step>) -> Vec<TraceStep> {
    let step = |step: Step| TraceStep {
        rule_id: step.rule_id,
        line: step.line,
        priority: step.priority,
        action: step.action.as_str(),
        rule: step.rule.to_string(),
        result: step.result.as_str(),
        why: step.why,
    };
    steps.into_iter().map(step).collect()
}

/// `host:port`, with IPv6 in brackets.
fn target(text: &str) -> Option<Target> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some(Target::new(Host::from_name(host.as_bytes()).ok()?, port.parse().ok()?))
}

/// Addresses that one question may have where there are so many rules: each is shown every rule, and others
/// wait behind it.
fn affordable(rules: usize) -> usize {
    STEPS_MAX.checked_div(rules).map_or(ADDRESSES_MAX, |times| times.saturating_sub(1))
}

fn not_yet() -> ApiReply {
    ApiReply::problem(503, "the proxy is starting")
}

/// Of a rule's lists so many entries are shown.
const SHOWN_MAX: usize = 100;
/// When somebody who came too early to reload may come again: most have been done by then.
const RETRY_AFTER_SECS: &str = "1";
/// Addresses of one question.
const ADDRESSES_MAX: usize = 32;
/// Rules that one question goes through at most, for the request and each address: a tenth of a second. The
/// request itself is always answered.
const STEPS_MAX: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_any_length_is_shown_as_far_as_it_fits_with_the_number_of_the_rest() {
        let names: Vec<Box<str>> = (0..320_000).map(|number| number.to_string().into()).collect();
        let (first, left_out) = shown(&names);
        assert_eq!((first.len(), left_out), (SHOWN_MAX, 320_000 - SHOWN_MAX));
        assert_eq!(shown(&names[..SHOWN_MAX]).1, 0);
    }

    #[test]
    fn the_more_rules_there_are_the_fewer_addresses_may_be_asked_about_at_a_time() {
        assert!(affordable(0) >= ADDRESSES_MAX && affordable(10_000) >= ADDRESSES_MAX);
        assert_eq!((affordable(100_000), affordable(1_000_000), affordable(3_000_000)), (19, 1, 0));
    }

    #[test]
    fn the_status_tells_whether_to_mend_the_files_to_come_again_or_to_look_at_the_log() {
        let why = || "why".to_owned();
        let reply = NotReloaded::Refused(why()).reply();
        assert_eq!((reply.status, reply.headers.len()), (409, 0));
        let reply = NotReloaded::Busy(why()).reply();
        assert_eq!((reply.status, &*reply.headers), (503, &[("Retry-After", "1".to_owned())][..]));
        let reply = NotReloaded::GoesOn(why()).reply();
        assert_eq!((reply.status, reply.headers.len()), (504, 0));
        assert!(!String::from_utf8(reply.body).unwrap().contains("nothing has changed"));
    }
}

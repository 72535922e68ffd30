//! `/api/acl/rules`, `/api/acl/explain` and `/api/admin/reload`: the rules, why they decide as they do, and
//! new ones.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::api::Api;
use super::reply::ApiReply;
use super::request::ApiRequest;
use super::route::RulesQuery;
use crate::acl::{Explanation, Rule, Step};
use crate::clock;
use crate::policy::Policy;
use crate::socks::{Command, Request};
use crate::target::{Host, Target};

/// Reloads for whoever is named.
pub type Reload = Box<dyn Fn(String) -> Result<Reloaded, String> + Send + Sync>;

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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

#[derive(Serialize)]
struct Rules {
    generation: u64,
    /// `allow` or `block`; what is decided where no rule holds.
    default_policy: &'static str,
    guard: &'static str,
    data: Vec<OneRule>,
    next_cursor: Option<u32>,
    total: usize,
}

/// What is empty is no condition.
#[derive(Serialize)]
struct OneRule {
    rule_id: u32,
    line: u32,
    priority: i32,
    action: &'static str,
    rule: String,
    users: Vec<String>,
    groups: Vec<String>,
    destinations: Vec<String>,
    destinations_left_out: usize,
    ports: String,
    commands: Vec<&'static str>,
    sources: Vec<String>,
    hours: String,
    hits: u64,
    shadow_hits: u64,
}

/// The body of a question.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    target: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    groups: Vec<Box<str>>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    command: Option<String>,
    /// Addresses that the name of the target has.
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// When: RFC 3339.
    #[serde(default)]
    at: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    policy_generation: u64,
    /// `null` when it depends on the address that the name has.
    decision: Option<&'static str>,
    rule: Option<String>,
    rule_id: Option<u32>,
    shadow_rule_id: Option<u32>,
    trace: Vec<TraceStep>,
    /// Rules passed over of which nothing is said.
    left_out: usize,
    addresses: Vec<AddressAnswer>,
}

#[derive(Serialize)]
struct AddressAnswer {
    address: IpAddr,
    decision: Option<&'static str>,
    rule: Option<String>,
    rule_id: Option<u32>,
    shadow_rule_id: Option<u32>,
    trace: Vec<TraceStep>,
    left_out: usize,
}

#[derive(Serialize)]
struct TraceStep {
    rule_id: u32,
    line: u32,
    priority: i32,
    action: &'static str,
    rule: String,
    result: &'static str,
    why: String,
}

impl Api {
    /// `GET /api/acl/rules`
    pub(super) fn rules(&self, query: &RulesQuery) -> ApiReply {
        let Some(policy) = self.in_force.current() else { return not_yet() };
        let rules = policy.acl.rules();
        let all = rules.map_or(&[][..], |rules| rules.ordered());
        let first = (query.cursor as usize).min(all.len());
        let end = all.len().min(first + query.limit as usize);
        let next = (end < all.len()).then_some(end);
        ApiReply::json(&Rules {
            generation: policy.generation,
            default_policy: rules.map_or("allow", |rules| rules.otherwise().as_str()),
            guard: if policy.acl.is_guarded() { "auto" } else { "off" },
            data: all[first..end].iter().map(|rule| OneRule::of(rule, &policy)).collect(),
            next_cursor: next.and_then(|next| u32::try_from(next).ok()),
            total: all.len(),
        })
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
            Err(why) => ApiReply::problem(409, &format!("nothing has changed: {why}")),
        }
    }
}

impl OneRule {
    fn of(rule: &Rule, policy: &Policy) -> Self {
        let texts = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
        let all = [Command::Connect, Command::Bind, Command::UdpAssociate];
        let hits = policy.acl.hits(rule.id);
        let shown = rule.destinations.iter().take(SHOWN_MAX);
        Self {
            rule_id: rule.id,
            line: rule.line,
            priority: rule.priority,
            action: rule.action.as_str(),
            rule: rule.text.to_string(),
            users: texts(&rule.who.users),
            groups: texts(&rule.who.groups),
            destinations: shown.map(ToString::to_string).collect(),
            destinations_left_out: rule.destinations.len().saturating_sub(SHOWN_MAX),
            ports: rule.ports.to_string(),
            commands: all
                .into_iter()
                .filter(|command| rule.commands.contains(*command))
                .map(Command::as_str)
                .collect(),
            sources: rule.sources.iter().take(SHOWN_MAX).map(ToString::to_string).collect(),
            hours: rule.hours.to_string(),
            hits: hits.hits,
            shadow_hits: hits.shadow_hits,
        }
    }
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

fn not_yet() -> ApiReply {
    ApiReply::problem(503, "the proxy is starting")
}

/// Of a rule's lists so many entries are shown.
const SHOWN_MAX: usize = 100;
/// Addresses of one question.
const ADDRESSES_MAX: usize = 32;

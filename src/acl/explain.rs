//! Why something was decided: the data path's own evaluator, with a note of each rule that it met.
//!
//! What the evaluator passes over because the index leaves it out is looked at here once more, one rule
//! after another, so that the reader is told of each why it did not hold.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::hours::Moment;
use super::rule::{Action, Miss, Query, Rule};
use super::rules::{Met, Observer, Rules};
use super::ruling::Ruling;

/// What is decided about a request, and about each address that its name has.
#[derive(Clone, Debug)]
pub struct Explained {
    /// About the request as it is made.
    pub request: Explanation,
    /// About each address; none where the request is refused, or names an address itself.
    pub addresses: Vec<(IpAddr, Explanation)>,
}

/// A decision, and what led to it.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The decision; `None` when it depends on the address that the name has, on who comes to a BIND for
    /// anybody, or on what each datagram of an association is for.
    pub ruling: Option<Ruling>,
    /// Rules in the order in which they are tried, up to the one that decided.
    pub steps: Vec<Step>,
    /// How many more were passed over, of which nothing is said.
    pub left_out: usize,
}

/// What became of one rule.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the file.
    pub rule_id: u32,
    /// Its line in the file.
    pub line: u32,
    /// Its priority.
    pub priority: i32,
    /// What it does.
    pub action: Action,
    /// Its text.
    pub rule: Arc<str>,
    /// Whether it decided, would have, or was passed over.
    pub result: StepResult,
    /// Why, in one sentence.
    pub why: String,
}

/// What a rule came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// It decided.
    Decides,
    /// It would have blocked.
    Shadows,
    /// It would have allowed what the guard forbids.
    Guarded,
    /// It does not hold.
    Missed,
}

impl StepResult {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decides => "decides",
            Self::Shadows => "shadows",
            Self::Guarded => "guarded",
            Self::Missed => "missed",
        }
    }
}

impl Explanation {
    /// The story of what is decided before any target is known: of the rule that forbids them all.
    pub(super) fn unaimed(ruling: Option<Ruling>, rules: Option<&Rules>) -> Self {
        let mut story = Self { ruling, steps: Vec::new(), left_out: 0 };
        if let (Some(ruling), Some(rules)) = (&story.ruling, rules) {
            let before = rules.ordered().iter().take_while(|rule| Some(rule.id) != ruling.rule_id);
            story.left_out = before.count();
            if let Some(rule) = rules.ordered().get(story.left_out) {
                let why = "it blocks every target, and no rule before it can allow one";
                story.steps.push(told(rule, StepResult::Decides, why.to_owned()));
            }
        }
        story
    }
}

/// Notes each rule that is met.
#[derive(Debug, Default)]
pub(super) struct Trace {
    met: HashMap<u32, Met>,
}

impl Observer for Trace {
    fn met(&mut self, rule: &Rule, met: Met) {
        self.met.insert(rule.id, met);
    }
}

impl Trace {
    /// The story of a decision about this query.
    pub(super) fn finish(
        self,
        ruling: Option<Ruling>,
        asked: Option<(&Rules, &Query<'_>)>,
    ) -> Explanation {
        let mut story = Explanation { ruling, steps: Vec::new(), left_out: 0 };
        let Some((rules, query)) = asked else { return story };
        for rule in rules.ordered() {
            let met = match self.met.get(&rule.id).copied() {
                Some(met) => met,
                // Nothing will be said of it, so that it need not be looked at, which takes long.
                None if story.steps.len() >= STEPS_MAX => {
                    story.left_out += 1;
                    continue;
                }
                None => match rule.check(query) {
                    Err(miss) => Met::Missed(miss),
                    // Behind the end, where nothing was met any more.
                    Ok(_) => Met::Guarded,
                },
            };
            let passed_over = matches!(met, Met::Missed(_));
            if passed_over && story.steps.len() >= STEPS_MAX {
                story.left_out += 1;
            } else {
                story.steps.push(step(rule, query, met));
            }
            if met == Met::Decides {
                break;
            }
        }
        story
    }
}

fn step(rule: &Rule, query: &Query<'_>, met: Met) -> Step {
    let (result, why) = match met {
        Met::Decides => (StepResult::Decides, "every condition holds".to_owned()),
        Met::Shadows => (
            StepResult::Shadows,
            "every condition holds; it counts, and the rules behind it decide".to_owned(),
        ),
        Met::Guarded => (
            StepResult::Guarded,
            "every condition holds, but the guard forbids the address, and the rule does not allow it \
             by naming it"
                .to_owned(),
        ),
        Met::Missed(miss) => (StepResult::Missed, why(rule, query, miss)),
    };
    told(rule, result, why)
}

fn told(rule: &Rule, result: StepResult, why: String) -> Step {
    Step {
        rule_id: rule.id,
        line: rule.line,
        priority: rule.priority,
        action: rule.action,
        rule: Arc::clone(&rule.text),
        result,
        why,
    }
}

fn why(rule: &Rule, query: &Query<'_>, miss: Miss) -> String {
    match miss {
        Miss::Who => {
            let groups: Vec<&str> = query.groups.iter().map(|group| &**group).collect();
            let groups = if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") };
            let who = rule.who.users.iter().chain(&rule.who.groups);
            format!("user {:?} ({groups}) is none of {}", query.user, few(who))
        }
        Miss::Destination => {
            let address = query.address.map(|ip| ip.to_string());
            let target = match (query.name, address) {
                (Some(name), Some(address)) => format!("{name} ({address})"),
                (Some(name), None) => name.to_owned(),
                (None, address) => address.unwrap_or_default(),
            };
            format!("{target} is none of {}", few(rule.destinations.iter()))
        }
        Miss::Embedded => {
            "it holds for the IPv4 address within the address only, which is enough to \
                           block and not to allow"
                .to_owned()
        }
        Miss::Port => format!("port {} is none of {}", query.port, rule.ports),
        Miss::Command => format!("it is not about the command {}", query.command.as_str()),
        Miss::Source => format!("client {} is none of {}", query.client, few(rule.sources.iter())),
        Miss::Hours => format!("{} is none of {}", Moment(query.minute), rule.hours),
    }
}

/// The first few of many.
pub(super) fn few<T: std::fmt::Display>(all: impl Iterator<Item = T>) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut more = 0;
    for one in all {
        if shown.len() < SHOWN_MAX {
            shown.push(one.to_string());
        } else {
            more += 1;
        }
    }
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Rules that a story has room for, beside those that held.
const STEPS_MAX: usize = 500;
/// Of a list of conditions so many are shown.
const SHOWN_MAX: usize = 5;

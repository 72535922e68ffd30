//! How the rules of two files differ, in one sentence; whatever their numbers and lines, and where they
//! stand if they are tried in the same order.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::rule::Rule;
use super::rules::Rules;

impl Rules {
    /// What is other than `before`; `None` where nothing is. Rules are compared by eight octets each, so
    /// that a file of a million of them costs no more than a few megabytes here.
    #[must_use]
    pub fn difference(before: Option<&Arc<Self>>, after: Option<&Arc<Self>>) -> Option<String> {
        let is_same = |(before, after): (&Arc<Self>, &Arc<Self>)| Arc::ptr_eq(before, after);
        if before.zip(after).map_or(before.is_none() && after.is_none(), is_same) {
            return None;
        }
        let ordered = |rules: Option<&Arc<Self>>| likenesses(rules.map_or(&[], |it| it.ordered()));
        let (mut old, mut new) = (ordered(before), ordered(after));
        let is_in_order = old == new;
        old.sort_unstable();
        new.sort_unstable();
        let (added, removed) = apart(&old, &new);
        let order = !is_in_order && added == 0 && removed == 0;
        let otherwise = before.map(|it| it.otherwise()) != after.map(|it| it.otherwise());
        // A file that is not there says what one says that has nothing in it.
        let others = members(before) != members(after);
        let ahead = |rules: Option<&Arc<Self>>| rules.map_or(0, |it| it.utc_offset_minutes());
        let hours = ahead(before) != ahead(after);
        if added == 0 && removed == 0 && !order && !otherwise && !others && !hours {
            return None;
        }
        let mut text = format!("rules ({added} added, {removed} removed");
        for (differs, what) in [
            (order, ", another order"),
            (otherwise, ", another default policy"),
            (others, ", other members of groups"),
            (hours, ", another utc_offset"),
        ] {
            text.push_str(if differs { what } else { "" });
        }
        Some(text + ")")
    }
}

/// Whom a file puts into which groups, if there are any.
fn members(rules: Option<&Arc<Rules>>) -> Option<&HashMap<Box<str>, Vec<Box<str>>>> {
    rules.map(|rules| rules.members()).filter(|members| !members.is_empty())
}

/// What tells rules from others, in the order in which they are tried.
fn likenesses(rules: &[Rule]) -> Vec<u64> {
    rules.iter().map(likeness).collect()
}

/// What tells a rule from others, but for its place.
fn likeness(rule: &Rule) -> u64 {
    let Rule {
        id: _,
        line: _,
        action,
        priority,
        text,
        who,
        destinations,
        ports,
        commands,
        sources,
        hours,
        egress,
        bandwidth,
    } = rule;
    let mut hasher = DefaultHasher::new();
    (action, priority, text, who, destinations).hash(&mut hasher);
    let [egress, bandwidth] = [egress, bandwidth].map(|of| of.as_ref().map(|of| &of.name));
    (ports, commands, sources, hours, egress, bandwidth).hash(&mut hasher);
    hasher.finish()
}

/// How many are only in the second, and only in the first; both are sorted.
fn apart(before: &[u64], after: &[u64]) -> (usize, usize) {
    let (mut removed, mut added) = (0, 0);
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return (added, removed),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.cmp(new),
        };
        removed += usize::from(order.is_lt());
        added += usize::from(order.is_gt());
        if order.is_le() {
            old.next();
        }
        if order.is_ge() {
            new.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_twice_counts_twice() {
        assert_eq!(apart(&[], &[]), (0, 0));
        assert_eq!(apart(&[1, 2, 2, 3], &[1, 2, 2, 3]), (0, 0));
        assert_eq!(apart(&[1, 2, 2, 3], &[2, 4]), (1, 3));
        assert_eq!(apart(&[2], &[1, 2, 2, 9]), (3, 0));
        assert_eq!(apart(&[5, 6], &[]), (0, 2));
    }
}

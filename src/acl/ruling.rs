//! What was decided about a session, and by which rule.

use std::sync::Arc;

/// The two words of the column `acl_decision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The session may go on.
    Allow,
    /// It may not.
    Block,
}

impl Decision {
    /// The word as it stands in the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }
}

/// A decision with the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Allow or block.
    pub decision: Decision,
    /// The text of the rule, or `default policy`, or the guard's sentence.
    pub rule: Arc<str>,
    /// The rule's number in the rule file; `None` for the default policy and the guard.
    pub rule_id: Option<u32>,
    /// The number of the shadow rule that would have decided before it.
    pub shadow: Option<u32>,
}

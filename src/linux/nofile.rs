//! How many descriptors we may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Limits of open descriptors; `u64::MAX` where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NofileLimit {
    /// What holds now.
    pub soft: u64,
    /// What it may be raised to without privilege.
    pub hard: u64,
}

/// Raises the soft limit to the hard one, which costs nothing and is what a proxy needs: a session
/// takes two descriptors, and the soft limit is low only for the sake of select(2). Answers what
/// holds afterwards, raised or not.
pub fn raise_nofile() -> NofileLimit {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    let after = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        // The caller can only act upon the number, and it is in the answer.
        Err(_) => before,
    };
    NofileLimit { soft: after.current.unwrap_or(u64::MAX), hard: after.maximum.unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_meets_the_hard_one() {
        let limit = raise_nofile();
        assert_eq!(limit.soft, limit.hard);
        assert_eq!(raise_nofile(), limit);
    }
}

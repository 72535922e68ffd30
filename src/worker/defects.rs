//! Sessions that ended by a defect of ours: a line of the log, and few of them, since whoever has found the
//! way to one may go it again and again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::session::{Level, Outcome};
use crate::target::Target;

/// What a worker has said of its defects.
#[derive(Debug, Default)]
pub(super) struct Defects {
    quiet_until: Option<Instant>,
    unsaid: u64,
}

impl Defects {
    /// What the log is to say of a session of this client that ended so; `None` where that is no defect,
    /// or where enough was said for now.
    pub(super) fn line(
        &mut self,
        outcome: Outcome,
        (client, target): (IpAddr, Option<&Target>),
        now: Instant,
    ) -> Option<String> {
        if outcome.level() != Level::Error {
            return None;
        }
        if self.quiet_until.is_some_and(|until| now < until) {
            self.unsaid += 1;
            return None;
        }
        self.quiet_until = Some(now + BETWEEN_LINES);
        let unsaid = std::mem::take(&mut self.unsaid);
        let target = target.map(ToString::to_string).unwrap_or_default();
        let code = outcome.close_code();
        Some(format!(
            "a session ended by a defect of the proxy: client={client} target={target:?} \
             close_code={code} unsaid={unsaid}"
        ))
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::target::Host;

    #[test]
    fn a_defect_is_told_of_once_in_a_while_and_nothing_else_is_one() {
        let (mut defects, now) = (Defects::default(), clock::mono());
        let target = Target::new(Host::from_name(b"a.test").unwrap(), 443);
        let whose = (IpAddr::from([192, 0, 2, 1]), Some(&target));
        for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Internal) {
            assert_eq!(defects.line(outcome, whose, now), None);
        }
        let line = defects.line(Outcome::Internal, whose, now).unwrap();
        let said = "client=192.0.2.1 target=\"a.test:443\" close_code=internal_error unsaid=0";
        assert!(line.ends_with(said), "{line}");
        for _ in 0..3 {
            assert_eq!(defects.line(Outcome::Internal, whose, now + BETWEEN_LINES / 2), None);
        }
        let later = now + BETWEEN_LINES;
        let line = defects.line(Outcome::Internal, (whose.0, None), later).unwrap();
        assert!(line.ends_with("target=\"\" close_code=internal_error unsaid=3"), "{line}");
    }
}

//! What is done off the worker: the list of all that blocks.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::pool::Task;
use crate::auth::{Credentials, Users, Verdict, verify};
use crate::clock;
use crate::key::Key;
use crate::limit::Check;
use crate::mailbox::{Letter, Post};
use crate::resolve::{LookupError, LookupId, Record, look_up};
use crate::target::HostName;

/// One thing to do, and where the answer goes.
pub enum Job {
    /// Ask the system for the addresses of a name; answered by [`Letter::Resolved`].
    Lookup {
        /// The name.
        name: HostName,
        /// Which of its records.
        record: Record,
        /// The number of the look-up.
        id: LookupId,
        /// The asker's worker.
        post: Post,
    },
    /// Check a password; answered by [`Letter::Verdict`].
    Verify {
        /// Counts a failure against the client's address.
        check: Check,
        /// Who may log in.
        users: Arc<Users>,
        /// What the client says.
        credentials: Credentials,
        /// Who asks.
        key: Key,
        /// How long the client waits; then it has given up, or is about to.
        patience: Duration,
        /// The asker's worker.
        post: Post,
    },
}

impl Task for Job {
    /// Does it and posts the answer; blocks so long as it takes. A panic becomes an answer.
    fn run(self) {
        match self {
            Self::Lookup { name, record, id, post } => {
                let answer = guarded(Err(LookupError::Failed), || look_up(&name, record));
                answer_to(&post, Letter::Resolved { id, record, answer });
            }
            Self::Verify { check, users, credentials, key, patience, post } => {
                let claimed = String::from_utf8_lossy(credentials.username()).into_owned();
                let client = check.client();
                let began = clock::mono();
                let waited = began.saturating_duration_since(check.since());
                if waited > patience {
                    // Nobody is there any more to hear of it, and others wait: a thread that a module of
                    // PAM has held for long makes up for it.
                    return answer_to(&post, Letter::Verdict { key, verdict: Verdict::Overloaded });
                }
                // A check that could not be made must not count as a wrong password.
                // Moved in, the secret is gone before anyone hears of the verdict.
                let work = move || match users.service_for(credentials.username()) {
                    Some(service) => service.verify(&credentials, client),
                    None => verify(&users, &credentials),
                };
                let verdict = guarded(Verdict::Overloaded, work);
                let took = clock::mono().saturating_duration_since(began);
                if took > patience {
                    tracing::warn!("a login was checked for {took:.0?}: client={client}");
                }
                if verdict == Verdict::Rejected {
                    note_failure(&check, &claimed);
                }
                // Over before the answer: the next one from there need not wait.
                drop(check);
                answer_to(&post, Letter::Verdict { key, verdict });
            }
        }
    }

    /// The client's, of a login; names are everybody's.
    fn whose(&self) -> IpAddr {
        match self {
            Self::Lookup { .. } => Ipv4Addr::UNSPECIFIED.into(),
            Self::Verify { check, .. } => check.block(),
        }
    }

    fn turn_away(self) {
        match self {
            Self::Lookup { record, id, post, .. } => {
                answer_to(&post, Letter::Resolved { id, record, answer: Err(LookupError::Failed) });
            }
            Self::Verify { check, key, post, .. } => {
                check.turn_away();
                answer_to(&post, Letter::Verdict { key, verdict: Verdict::Overloaded });
            }
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the credentials.
        match self {
            Self::Lookup { name, record, id, .. } => write!(f, "Lookup({name}, {record:?}, {id})"),
            Self::Verify { key, .. } => write!(f, "Verify({key:?})"),
        }
    }
}

/// What `work` returns, or `otherwise` if it panics. The panic hook has reported it by then.
fn guarded<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// Counts a wrong password, and says so in a line that programs such as fail2ban read; its form does
/// not change. The client may have gone by now, which helps it nothing.
fn note_failure(check: &Check, claimed: &str) {
    let client = check.client();
    tracing::warn!("authentication failed: client={client} user={claimed:?}");
    if check.failed(clock::now()) {
        tracing::warn!("banned after too many failures: client={client}");
    }
}

fn answer_to(post: &Post, letter: Letter) {
    if post.answer(letter).is_err() {
        // Its lane is as long as questions may be in flight: the worker has ended.
        tracing::debug!("an answer found no worker");
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token, Waker};

    use super::*;
    use crate::limit::{Asked, BanTerms, Bans, MayCheck};
    use crate::mailbox::{Mailbox, mailbox};
    use crate::target::Host;

    const KEY: Key = Key { slot: 3, generation: 5 };

    fn worker() -> (Poll, Post, Mailbox) {
        let poll = Poll::new().unwrap();
        let (post, mailbox) = mailbox(Waker::new(poll.registry(), Token(0)).unwrap(), 4);
        (poll, post, mailbox)
    }

    #[test]
    fn a_lookup_answers_to_its_asker() {
        let (_poll, post, mailbox) = worker();
        let name = Host::from_name(b"127.1").unwrap().name().unwrap().clone();
        Job::Lookup { name, record: Record::A, id: 9, post }.run();
        let Some(Letter::Resolved { id, record, answer }) = mailbox.next() else { panic!() };
        assert_eq!((id, record), (9, Record::A));
        assert_eq!(answer.unwrap()[0].to_string(), "127.0.0.1");
    }

    #[test]
    fn a_login_that_has_waited_too_long_is_not_checked_any_more() {
        let bans = Arc::new(Bans::default());
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        for (waited, patience, expected) in [
            (minute, minute / 2, Verdict::Overloaded),
            (minute, hour, Verdict::Rejected),
            (Duration::ZERO, minute, Verdict::Rejected),
        ] {
            let (_poll, post, mailbox) = worker();
            let since = clock::mono().checked_sub(waited).unwrap();
            let MayCheck::Yes(check) =
                bans.check([192, 0, 2, 1].into(), Asked::Us, BanTerms::NONE, since)
            else {
                panic!()
            };
            let credentials = Credentials::new(b"nobody".to_vec().into(), b"x".to_vec().into());
            let users = Arc::default();
            Job::Verify { check, users, credentials, key: KEY, patience, post }.run();
            let Some(Letter::Verdict { verdict, .. }) = mailbox.next() else { panic!() };
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn work_that_panics_has_an_answer() {
        assert_eq!(guarded(1, || panic!("on purpose")), 1);
        assert_eq!(guarded(1, || 2), 2);
    }

    #[test]
    fn an_answer_to_an_ended_worker_is_dropped() {
        let (_poll, post, mailbox) = worker();
        drop(mailbox);
        answer_to(&post, Letter::Verdict { key: KEY, verdict: Verdict::Rejected });
    }
}

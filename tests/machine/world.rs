//! The world answers what a machine asks, as the script says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rustsocks::auth::{Credentials, Recent, RecentKey, Users, Verdict, verify};
use rustsocks::connection::{Attempt, ConnectError, Input, Next};
use rustsocks::resolve::Addresses;

use crate::driven::{Driven, Policies};
use crate::script::{Conversation, Ends, Step};

impl Policies {
    #[track_caller]
    pub(crate) fn hold(&self, conversation: &Conversation, parts: &[&[u8]], early: &[u8]) {
        let mut driven = self.driven(conversation.login);
        let mut steps = conversation.steps.iter();
        let mut end = None;
        for part in parts {
            let mut next = driven.give(part);
            while end.is_none() {
                next = match next {
                    Next::Wait | Next::TurnAway => {
                        match driven.await_peer(&mut steps, conversation) {
                            Some(next) => next,
                            None => break,
                        }
                    }
                    Next::Listen { towards } => match steps.next() {
                        Some(Step::Listens(expected, bound)) => {
                            let expected = expected.map(|host| host.parse().unwrap());
                            assert_eq!(towards, expected, "{}", conversation.name);
                            driven.tell(Input::Listening(bound.parse().unwrap()))
                        }
                        Some(Step::ListenFails(error)) => driven.tell(Input::NoSocket(*error)),
                        other => panic!("{}: listens, not {other:?}", conversation.name),
                    },
                    Next::Read => break,
                    Next::Flush => driven.tell(Input::Flushed),
                    Next::Relay => {
                        end = Some(Ends::Relays);
                        break;
                    }
                    Next::RelayDatagrams => {
                        end = Some(Ends::RelaysDatagrams);
                        break;
                    }
                    Next::Associate { declared } => match steps.next() {
                        Some(Step::Associates(expected, bound)) => {
                            assert_eq!(declared, *expected, "{}", conversation.name);
                            driven.tell(match bound {
                                Some(bound) => Input::Associated(bound.parse().unwrap()),
                                None => Input::NoSocket(ConnectError::NoRoom),
                            })
                        }
                        other => panic!("{}: associates, not {other:?}", conversation.name),
                    },
                    Next::Refuse(outcome) => {
                        end = Some(Ends::Refuses(outcome));
                        break;
                    }
                    Next::Verify(credentials) => {
                        let verdict = verify_once(&driven.policy.users, &credentials);
                        driven.tell(Input::Verdict(verdict))
                    }
                    Next::Resolve(name) => match steps.next() {
                        Some(Step::Resolves(expected, answer)) => {
                            assert_eq!(name.as_str(), *expected, "{}", conversation.name);
                            let answer = answer.map(addresses);
                            driven.tell(Input::Resolved { answer, more: false })
                        }
                        Some(Step::ResolvesInHalf(expected, half)) => {
                            assert_eq!(name.as_str(), *expected, "{}", conversation.name);
                            let answer = Ok(addresses(half));
                            driven.tell(Input::Resolved { answer, more: true })
                        }
                        other => panic!("{}: resolves {name}, not {other:?}", conversation.name),
                    },
                    Next::Open => match steps.next() {
                        Some(Step::Opens) => driven.tell(Input::Opened),
                        other => panic!("{}: opens, not {other:?}", conversation.name),
                    },
                    Next::Dial { attempt, permit } => {
                        driven.dial(attempt, permit.address(), steps.next(), conversation.name)
                    }
                    Next::End(outcome) => panic!("{}: ends {outcome:?}", conversation.name),
                };
            }
        }
        driven.collect();
        assert_eq!(driven.read, conversation.reads, "{}", conversation.name);
        assert_eq!(end, Some(conversation.ends), "{}", conversation.name);
        assert!(steps.next().is_none(), "{}: a step was not reached", conversation.name);
        if conversation.ends == Ends::Relays {
            assert_eq!(driven.inbox, early, "{}", conversation.name);
        }
    }
}

impl Driven<'_> {
    /// What becomes of the wait for a peer; `None` where nothing comes of it now.
    fn await_peer(
        &mut self,
        steps: &mut std::slice::Iter<'_, Step>,
        conversation: &Conversation,
    ) -> Option<Next> {
        let (peer, wanted) = match steps.as_slice().first()? {
            Step::PeerComes(peer) => (peer, true),
            Step::StrangerComes(peer) => (peer, false),
            Step::NobodyComes => {
                steps.next();
                self.now = self.machine.deadline().unwrap();
                return Some(self.tell(Input::Deadline));
            }
            Step::RestComes(answer) => {
                steps.next();
                let answer = answer.map(addresses);
                return Some(self.tell(Input::Resolved { answer, more: false }));
            }
            Step::Waits => {
                steps.next();
                self.now = self.machine.deadline().unwrap();
                return Some(self.tell(Input::Deadline));
            }
            Step::Fails(attempt, error) => {
                steps.next();
                return Some(self.tell(Input::Unreachable { attempt: *attempt, error: *error }));
            }
            Step::Resolves(..)
            | Step::ResolvesInHalf(..)
            | Step::DialIsPending(_)
            | Step::Opens
            | Step::DialFails(..)
            | Step::DialConnects(_)
            | Step::DialIsSilent(_)
            | Step::Listens(..)
            | Step::ListenFails(_)
            | Step::Associates(..) => return None,
        };
        steps.next();
        let next = self.tell(Input::Accepted(peer.parse().unwrap()));
        assert_eq!(!matches!(next, Next::TurnAway), wanted, "{}: {peer}", conversation.name);
        Some(next)
    }

    fn dial(&mut self, attempt: Attempt, to: SocketAddr, step: Option<&Step>, name: &str) -> Next {
        match step {
            Some(Step::DialFails(address, error)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                self.tell(Input::Unreachable { attempt, error: *error })
            }
            Some(Step::DialConnects(address)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                let local = "192.0.2.1:4660".parse().unwrap();
                self.tell(Input::Connected { attempt, reached: to, local })
            }
            Some(Step::DialIsSilent(address)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                self.now = self.machine.deadline().unwrap();
                self.tell(Input::Deadline)
            }
            Some(Step::DialIsPending(address)) => {
                assert_eq!(to.to_string(), *address, "{name}");
                Next::Wait
            }
            other => panic!("{name}: dials {to}, not {other:?}"),
        }
    }
}

fn addresses(texts: &[&str]) -> Addresses {
    texts.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect()
}

/// Checks each login once: hashing at every split of every conversation would take minutes.
fn verify_once(users: &Users, credentials: &Credentials) -> Verdict {
    thread_local! {
        static RECENT: Recent = Recent::new();
        static KNOWN: RefCell<HashMap<RecentKey, Verdict>> = RefCell::default();
    }
    let key = RECENT.with(|recent| recent.key(credentials));
    KNOWN.with_borrow_mut(|known| {
        known.entry(key).or_insert_with(|| verify(users, credentials)).clone()
    })
}

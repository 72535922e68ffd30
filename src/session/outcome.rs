//! Why a session ended: the one closed set, and the only place where each reason maps to its
//! `close_code`, its sentence, its SOCKS reply code and its log level.

/// Why a session ended. The numeric value is stored in a ledger slot and never changes meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the table in `facts` says in a sentence what each one means")]
pub enum Outcome {
    AclDenied = 1,
    AclDeniedAddress,
    AuthFailed,
    Banned,
    ClientClosed,
    ClientGone,
    ClientLost,
    ClientReset,
    ConnectFailed,
    ConnectTimeout,
    ConnectionRefused,
    Crash,
    HalfCloseTimeout,
    HandshakeTimeout,
    HostUnreachable,
    IdleTimeout,
    Internal,
    Malformed,
    NameLookupFailed,
    NameNotFound,
    NetworkUnreachable,
    NoAcceptableMethod,
    OverLimit,
    PolicyChanged,
    QuotaExceeded,
    ServerBusy,
    Shutdown,
    TargetClosed,
    TargetLost,
    TargetReset,
    TerminatedByAdmin,
    UnsupportedAddressType,
    UnsupportedCommand,
}

/// The four words of the column `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not ended yet.
    Active,
    /// It relayed, and was ended by a side, a timeout, an operator or shutdown.
    Closed,
    /// It never relayed, or a crash cut it.
    Failed,
    /// A rule or the guard said no.
    RejectedByAcl,
}

impl Status {
    /// The word as it stands in the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::RejectedByAcl => "rejected_by_acl",
        }
    }
}

/// How loud the log line of an ending is. Hostile or unlucky peers are never louder than `Debug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What a peer did.
    Debug,
    /// What an operator should look at.
    Warn,
    /// What we must repair.
    Error,
}

struct Facts {
    code: &'static str,
    sentence: &'static str,
    reply: u8,
    level: Level,
}

impl Outcome {
    /// Every outcome, in the order of its number.
    pub const ALL: [Self; 33] = [
        Self::AclDenied,
        Self::AclDeniedAddress,
        Self::AuthFailed,
        Self::Banned,
        Self::ClientClosed,
        Self::ClientGone,
        Self::ClientLost,
        Self::ClientReset,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::ConnectionRefused,
        Self::Crash,
        Self::HalfCloseTimeout,
        Self::HandshakeTimeout,
        Self::HostUnreachable,
        Self::IdleTimeout,
        Self::Internal,
        Self::Malformed,
        Self::NameLookupFailed,
        Self::NameNotFound,
        Self::NetworkUnreachable,
        Self::NoAcceptableMethod,
        Self::OverLimit,
        Self::PolicyChanged,
        Self::QuotaExceeded,
        Self::ServerBusy,
        Self::Shutdown,
        Self::TargetClosed,
        Self::TargetLost,
        Self::TargetReset,
        Self::TerminatedByAdmin,
        Self::UnsupportedAddressType,
        Self::UnsupportedCommand,
    ];

    const fn facts(self) -> Facts {
        use Level::{Debug, Error, Warn};
        let (code, reply, level, sentence) = match self {
            Self::AclDenied => ("acl_denied", 2, Debug, "a rule forbids this target"),
            Self::AclDeniedAddress => {
                ("acl_denied_address", 2, Debug, "every address of the target is forbidden")
            }
            Self::AuthFailed => ("auth_failed", 2, Debug, "wrong user name or password"),
            Self::Banned => ("banned", 2, Debug, "the client's address is banned"),
            Self::ClientClosed => ("client_closed", 1, Debug, "the client closed first"),
            Self::ClientGone => {
                ("client_gone", 1, Debug, "the client hung up before the relay began")
            }
            Self::ClientLost => {
                ("client_lost", 1, Debug, "the connection to the client broke down")
            }
            Self::ClientReset => ("client_reset", 1, Debug, "the client reset the connection"),
            Self::ConnectFailed => {
                ("connect_failed", 1, Debug, "the connection to the target could not be made")
            }
            Self::ConnectTimeout => {
                ("connect_timeout", 6, Debug, "no connection with the target came about in time")
            }
            Self::ConnectionRefused => {
                ("connection_refused", 5, Debug, "the target refused the connection")
            }
            Self::Crash => ("crash", 1, Warn, "the proxy was killed while the session lived"),
            Self::HalfCloseTimeout => {
                ("half_close_timeout", 1, Debug, "one side had closed and the other went silent")
            }
            Self::HandshakeTimeout => {
                ("handshake_timeout", 1, Debug, "the client did not finish its request in time")
            }
            Self::HostUnreachable => {
                ("host_unreachable", 4, Debug, "the target's host cannot be reached")
            }
            Self::IdleTimeout => ("idle_timeout", 1, Debug, "both sides were silent for too long"),
            Self::Internal => ("internal_error", 1, Error, "a defect of the proxy"),
            Self::Malformed => ("malformed", 1, Debug, "the client broke the protocol"),
            Self::NameLookupFailed => {
                ("name_lookup_failed", 1, Debug, "the name could not be looked up")
            }
            Self::NameNotFound => ("name_not_found", 4, Debug, "the name has no address"),
            Self::NetworkUnreachable => {
                ("network_unreachable", 3, Debug, "the target's network cannot be reached")
            }
            Self::NoAcceptableMethod => {
                ("no_acceptable_method", 1, Debug, "the client offered no method that we accept")
            }
            Self::OverLimit => {
                ("over_limit", 1, Debug, "a limit on connections or look-ups was reached")
            }
            Self::PolicyChanged => {
                ("policy_changed", 2, Debug, "what is in force now forbids the session")
            }
            Self::QuotaExceeded => ("quota_exceeded", 2, Debug, "a quota was used up"),
            Self::ServerBusy => ("server_busy", 1, Warn, "the proxy had no room for the work"),
            Self::Shutdown => ("shutdown", 1, Debug, "the proxy was stopped"),
            Self::TargetClosed => ("target_closed", 1, Debug, "the target closed first"),
            Self::TargetLost => {
                ("target_lost", 1, Debug, "the connection to the target broke down")
            }
            Self::TargetReset => ("target_reset", 1, Debug, "the target reset the connection"),
            Self::TerminatedByAdmin => {
                ("terminated_by_admin", 1, Debug, "an operator ended the session")
            }
            Self::UnsupportedAddressType => {
                ("unsupported_address_type", 8, Debug, "the address type is not supported")
            }
            Self::UnsupportedCommand => {
                ("unsupported_command", 7, Debug, "the command is not supported")
            }
        };
        Facts { code, sentence, reply, level }
    }

    /// The machine's word: column `close_code` and metric label.
    #[must_use]
    pub const fn close_code(self) -> &'static str {
        self.facts().code
    }

    /// The human sentence: column `close_reason`.
    #[must_use]
    pub const fn close_reason(self) -> &'static str {
        self.facts().sentence
    }

    /// The SOCKS5 reply code (RFC 1928 §6) for an ending before the relay; never 0.
    #[must_use]
    pub const fn reply(self) -> u8 {
        self.facts().reply
    }

    /// How loud its log line is.
    #[must_use]
    pub const fn level(self) -> Level {
        self.facts().level
    }

    /// The column `status`, which also depends on whether the session had `relayed`.
    #[must_use]
    pub const fn status(self, relayed: bool) -> Status {
        match self {
            Self::AclDenied | Self::AclDeniedAddress => Status::RejectedByAcl,
            Self::Crash => Status::Failed,
            Self::AuthFailed
            | Self::Banned
            | Self::ClientClosed
            | Self::ClientGone
            | Self::ClientLost
            | Self::ClientReset
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::ConnectionRefused
            | Self::HalfCloseTimeout
            | Self::HandshakeTimeout
            | Self::HostUnreachable
            | Self::IdleTimeout
            | Self::Internal
            | Self::Malformed
            | Self::NameLookupFailed
            | Self::NameNotFound
            | Self::NetworkUnreachable
            | Self::NoAcceptableMethod
            | Self::OverLimit
            | Self::PolicyChanged
            | Self::QuotaExceeded
            | Self::ServerBusy
            | Self::Shutdown
            | Self::TargetClosed
            | Self::TargetLost
            | Self::TargetReset
            | Self::TerminatedByAdmin
            | Self::UnsupportedAddressType
            | Self::UnsupportedCommand => {
                if relayed {
                    Status::Closed
                } else {
                    Status::Failed
                }
            }
        }
    }

    /// Its number, as a ledger slot stores it; never 0.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its place in [`Outcome::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize - 1
    }

    /// The inverse of [`Outcome::number`].
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).wrapping_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_the_list_agree() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), index);
            assert_eq!(Outcome::from_number(outcome.number()), Some(outcome));
        }
        assert_eq!(Outcome::from_number(0), None);
        assert_eq!(Outcome::from_number(200), None);
    }

    #[test]
    fn each_has_a_code_of_its_own_in_snake_case_and_a_failure_reply() {
        let codes: BTreeSet<_> = Outcome::ALL.iter().map(|o| o.close_code()).collect();
        assert_eq!(codes.len(), Outcome::ALL.len());
        for outcome in Outcome::ALL {
            let code = outcome.close_code();
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!((1..=8).contains(&outcome.reply()), "{code}");
        }
    }

    #[test]
    fn status_follows_from_the_code_and_from_having_relayed() {
        assert_eq!(Outcome::AclDenied.status(false), Status::RejectedByAcl);
        assert_eq!(Outcome::Crash.status(true), Status::Failed);
        assert_eq!(Outcome::Shutdown.status(true), Status::Closed);
        assert_eq!(Outcome::Shutdown.status(false), Status::Failed);
        assert_eq!(Outcome::ConnectionRefused.status(false), Status::Failed);
        assert_eq!(Outcome::IdleTimeout.status(true), Status::Closed);
    }
}

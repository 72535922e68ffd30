//! The table's columns.

/// One way of asking for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Whether logins are wanted.
    pub(crate) wanted: bool,
    pub(crate) dialect: Dialect,
    pub(crate) login: Login,
    pub(crate) target: Target,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// Whether octets went there and back.
    pub(crate) through: bool,
    /// What the client was told.
    pub(crate) reply: String,
    /// `status | close_code | acl_decision | acl_rule_matched | user | claimed_user`
    pub(crate) record: String,
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Connect,
    Bind,
    Udp,
    Socks4,
    Socks4a,
    Http,
}

impl Dialect {
    pub(crate) const ALL: [Self; 6] =
        [Self::Connect, Self::Bind, Self::Udp, Self::Socks4, Self::Socks4a, Self::Http];

    /// Whether it can carry a name as target.
    pub(crate) const fn takes_names(self) -> bool {
        !matches!(self, Self::Socks4)
    }
}

/// Who it says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// It says nothing.
    None,
    Alice,
    Bob,
    /// Alice with another password.
    Wrong,
    Unknown,
    Empty,
    /// As long as SOCKS5 can say; longer by HTTP.
    Long,
    NulInName,
    NulInPassword,
    OtherCaseName,
    OtherCasePassword,
}

impl Login {
    pub(crate) const ALL: [Self; 11] = [
        Self::None,
        Self::Alice,
        Self::Bob,
        Self::Wrong,
        Self::Unknown,
        Self::Empty,
        Self::Long,
        Self::NulInName,
        Self::NulInPassword,
        Self::OtherCaseName,
        Self::OtherCasePassword,
    ];

    /// Name and password; `None` where nothing is said.
    pub(crate) fn said(self, dialect: Dialect) -> Option<(String, String)> {
        let long = if dialect == Dialect::Http { 300 } else { 255 };
        let (name, password) = match self {
            Self::None => return None,
            Self::Alice => ("alice".to_owned(), "secret"),
            Self::Bob => ("bob".to_owned(), "secret"),
            Self::Wrong => ("alice".to_owned(), "guess"),
            Self::Unknown => ("mallory".to_owned(), "secret"),
            Self::Empty => (String::new(), ""),
            Self::Long => ("a".repeat(long), "secret"),
            Self::NulInName => ("alice\0".to_owned(), "secret"),
            Self::NulInPassword => ("alice".to_owned(), "secret\0"),
            Self::OtherCaseName => ("Alice".to_owned(), "secret"),
            Self::OtherCasePassword => ("alice".to_owned(), "Secret"),
        };
        Some((name, password.to_owned()))
    }
}

/// What it asks for: named by the rule that holds for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Allowed,
    ByAddress,
    /// A name with that address.
    NameOfAddress,
    ByUser,
    ByGroup,
    BySource,
    /// The same target, asked for by a client elsewhere.
    OtherSource,
    ByName,
    /// The same in capitals and with a dot at its end.
    ByNameSpelt,
    ByPort,
    Shadow,
    NoRule,
}

impl Target {
    pub(crate) const ALL: [Self; 12] = [
        Self::Allowed,
        Self::ByAddress,
        Self::NameOfAddress,
        Self::ByUser,
        Self::ByGroup,
        Self::BySource,
        Self::OtherSource,
        Self::ByName,
        Self::ByNameSpelt,
        Self::ByPort,
        Self::Shadow,
        Self::NoRule,
    ];

    /// The last octet of its address in 127.0.0.0/24.
    pub(crate) const fn last_octet(self) -> u8 {
        match self {
            Self::Allowed | Self::ByName | Self::ByNameSpelt | Self::ByPort => 10,
            Self::ByAddress | Self::NameOfAddress => 11,
            Self::ByUser => 12,
            Self::ByGroup => 13,
            Self::BySource | Self::OtherSource => 14,
            Self::Shadow => 15,
            Self::NoRule => 20,
        }
    }

    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::ByName => Some("blocked.test"),
            Self::ByNameSpelt => Some("BLOCKED.Test."),
            Self::NameOfAddress => Some("sly.test"),
            Self::Allowed
            | Self::ByAddress
            | Self::ByUser
            | Self::ByGroup
            | Self::BySource
            | Self::OtherSource
            | Self::ByPort
            | Self::Shadow
            | Self::NoRule => None,
        }
    }

    /// The last octet of the client's address.
    pub(crate) const fn client(self) -> u8 {
        if matches!(self, Self::BySource) { 9 } else { 1 }
    }
}

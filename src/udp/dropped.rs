//! Why a datagram is dropped.

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Dropped {
    /// To us, but not from the address and port that the association is pinned to.
    ForeignSource,
    /// FRAG was not 0.
    Fragment,
    /// Its header is none.
    Malformed,
    /// A rule or the guard forbids its target.
    Denied,
    /// Its name has no address, or could not be looked up.
    NameFailed,
    /// Too many names were being looked up, or too many datagrams waited for them.
    LookupsFull,
    /// Before we took it, because it came faster than we did.
    Overflow,
    /// From a host that the client has sent nothing to, or not for long.
    Stranger,
    /// No socket towards its target could be had.
    NoSocket,
    /// The kernel had no room for it.
    BufferFull,
    /// With its header, or for its path, it is too long for one datagram.
    TooLong,
    /// No way to its target.
    Unreachable,
}

impl Dropped {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::ForeignSource,
        Self::Fragment,
        Self::Malformed,
        Self::Denied,
        Self::NameFailed,
        Self::LookupsFull,
        Self::Overflow,
        Self::Stranger,
        Self::NoSocket,
        Self::BufferFull,
        Self::TooLong,
        Self::Unreachable,
    ];

    /// The metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForeignSource => "foreign_source",
            Self::Fragment => "fragment",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::NameFailed => "name_failed",
            Self::LookupsFull => "lookups_full",
            Self::Overflow => "overflow",
            Self::Stranger => "stranger",
            Self::NoSocket => "no_socket",
            Self::BufferFull => "buffer_full",
            Self::TooLong => "too_long",
            Self::Unreachable => "unreachable",
        }
    }

    /// Its place in [`Dropped::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_number_under_a_name_of_its_own() {
        let mut names: Vec<_> = Dropped::ALL.map(Dropped::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Dropped::ALL.len());
        for (index, reason) in Dropped::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
        }
    }
}

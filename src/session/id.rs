//! Session ids: UUID v7 (RFC 9562 §5.7), so that ids sort by time and an index on them stays warm.

use std::fmt;
use std::str::FromStr;

use uuid::{ContextV7, Timestamp, Uuid};

/// The id of one session; its text form is a lower-case hyphenated UUID v7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Uuid);

impl SessionId {
    /// The id as two words, most significant first, as a ledger slot keeps it.
    #[must_use]
    pub const fn to_words(self) -> (u64, u64) {
        self.0.as_u64_pair()
    }

    /// The inverse of [`SessionId::to_words`].
    #[must_use]
    pub const fn from_words(high: u64, low: u64) -> Self {
        Self(Uuid::from_u64_pair(high, low))
    }
}

impl SessionId {
    /// Writes the text form into `text`, without memory of its own.
    #[must_use]
    pub fn encode(self, text: &mut [u8; 36]) -> &str {
        self.0.as_hyphenated().encode_lower(text)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    /// Reads the text form.
    ///
    /// # Errors
    /// When the text is no UUID.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// Makes session ids; each worker has its own, because a shared one costs three times as much
/// under contention.
#[derive(Debug)]
pub struct IdSource(ContextV7);

impl IdSource {
    /// A source whose first id seeds its counter at random.
    #[must_use]
    pub fn new() -> Self {
        Self(ContextV7::new())
    }

    /// The next id for a session that began at `utc_ms` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn next(&self, utc_ms: i64) -> SessionId {
        let ms = u64::try_from(utc_ms).unwrap_or(0);
        let nanos = (ms % 1000) as u32 * 1_000_000;
        SessionId(Uuid::new_v7(Timestamp::from_unix(&self.0, ms / 1000, nanos)))
    }
}

impl Default for IdSource {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_source_are_distinct_and_sort_by_time_even_when_the_clock_stands_still() {
        let source = IdSource::new();
        let ids: Vec<_> = (0..5000).map(|i| source.next(1_769_846_709_000 + i / 100)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn words_and_text_round_trip() {
        let id = IdSource::new().next(1_769_846_709_123);
        let (high, low) = id.to_words();
        assert_eq!(SessionId::from_words(high, low), id);
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        assert_eq!(id.to_string().as_bytes()[14], b'7');
        assert_eq!(id.encode(&mut [0; 36]), id.to_string());
    }
}

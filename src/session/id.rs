//! Session ids: UUID v7 (RFC 9562 §5.7), so that ids sort by time and an index on them stays warm.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

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
///
/// Behind the milliseconds stand a counter of 42 bits, which begins anew with each of them at a random
/// number below half its range (RFC 9562 §6.2, method 1), and 32 random bits. The randomness is the
/// kernel's, fetched for many ids at a time: a system call for each would cost more than all the rest.
#[derive(Debug)]
pub struct IdSource(RefCell<Source>);

#[derive(Debug)]
struct Source {
    /// Milliseconds of the last id; they never go back.
    ms: u64,
    counter: u64,
    random: Box<[u8; RANDOM_OCTETS]>,
    /// Of those, how many are used.
    used: usize,
}

impl IdSource {
    /// A source whose first id seeds its counter at random.
    #[must_use]
    pub fn new() -> Self {
        let random = Box::new([0; RANDOM_OCTETS]);
        Self(RefCell::new(Source { ms: 0, counter: COUNTER_MAX, random, used: RANDOM_OCTETS }))
    }

    /// The next id for a session that began at `utc_ms` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn next(&self, utc_ms: i64) -> SessionId {
        // The borrow ends with this call, and nothing in it comes back here.
        self.0.borrow_mut().next(u64::try_from(utc_ms).unwrap_or(0))
    }
}

impl Source {
    fn next(&mut self, ms: u64) -> SessionId {
        if ms > self.ms || self.counter == COUNTER_MAX {
            // Sessions that began before the last one sort behind it.
            self.ms = ms.max(self.ms + u64::from(self.counter == COUNTER_MAX));
            self.counter = self.word() & (COUNTER_MAX >> 1);
        } else {
            self.counter += 1;
        }
        let high = self.ms << 16 | VERSION | self.counter >> LOW_COUNTER_BITS;
        let low_counter = self.counter & ((1 << LOW_COUNTER_BITS) - 1);
        let low = VARIANT | low_counter << 32 | self.word() & u64::from(u32::MAX);
        SessionId::from_words(high, low)
    }

    fn word(&mut self) -> u64 {
        if self.used == RANDOM_OCTETS {
            // Linux has it once it has booted. If it should fail, the same octets serve again, and the
            // counter still keeps ids apart.
            let filled = getrandom::fill(&mut *self.random);
            debug_assert!(filled.is_ok(), "getrandom(2)");
            self.used = 0;
        }
        let (_, unused) = self.random.split_at(self.used);
        self.used += size_of::<u64>();
        unused.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
    }
}

/// The version, 7, in the first word of an id, and the variant in the second.
const VERSION: u64 = 7 << 12;
const VARIANT: u64 = 0b10 << 62;
/// The counter: 12 bits in the first word, the others in the second.
const LOW_COUNTER_BITS: u32 = 30;
const COUNTER_MAX: u64 = (1 << (12 + LOW_COUNTER_BITS)) - 1;
/// Fetched at a time: for 64 ids, or more where several begin in a millisecond.
const RANDOM_OCTETS: usize = 1024;
const _: () = assert!(RANDOM_OCTETS.is_multiple_of(size_of::<u64>()));

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
    fn an_id_is_a_uuid_of_version_7_with_its_milliseconds_in_front() {
        let source = IdSource::new();
        for ms in [1, 2, 1_769_846_709_123, (1 << 48) - 1] {
            let uuid = source.next(ms).0;
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            let (seconds, nanos) = uuid.get_timestamp().unwrap().to_unix();
            assert_eq!(seconds * 1000 + u64::from(nanos / 1_000_000), ms.unsigned_abs());
        }
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_id_that_sorts_before_the_last() {
        let source = IdSource::new();
        let (last, next) = (source.next(2000), source.next(1000));
        assert!(last < next && next < source.next(2001));
    }

    #[test]
    fn a_counter_that_is_used_up_goes_on_in_the_next_millisecond() {
        let source = IdSource::new();
        source.0.borrow_mut().ms = 7;
        let id = source.next(7);
        assert_eq!(id.to_words().0 >> 16, 8);
    }

    #[test]
    fn two_sources_make_different_ids_in_the_same_millisecond() {
        let (one, two) = (IdSource::new(), IdSource::new());
        let mut ids: Vec<_> = (0..2000).flat_map(|_| [one.next(5), two.next(5)]).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4000);
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

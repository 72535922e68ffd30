//! A bounded reader over a message that may not be complete.
//!
//! Every read can run out of octets, and that is no fault of the client: [`Incomplete`] means "read
//! again", a [`Malformed`] never becomes right. A parser returns either as a [`Stop`].

use super::malformed::Malformed;

/// Reads from the front of the octets it was given.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    total: usize,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(input: &'a [u8]) -> Self {
        Self { total: input.len(), rest: input }
    }

    /// The next octet, which stays where it is.
    pub(super) fn peek(&self) -> Result<u8, Incomplete> {
        self.rest.first().copied().ok_or(Incomplete)
    }

    /// The next octet.
    pub(super) fn octet(&mut self) -> Result<u8, Incomplete> {
        let [octet] = self.array()?;
        Ok(octet)
    }

    /// The next `N` octets.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Incomplete> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Incomplete)?;
        self.rest = rest;
        Ok(*array)
    }

    /// The next `length` octets.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Incomplete> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Incomplete)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length octet and as many octets as it says.
    pub(super) fn counted(&mut self) -> Result<&'a [u8], Incomplete> {
        let length = self.octet()?;
        self.take(usize::from(length))
    }

    /// The octets before the next NUL, which is read too; `None` if more than `most` came without one.
    pub(super) fn until_nul(&mut self, most: usize) -> Result<Option<&'a [u8]>, Incomplete> {
        let Some(length) = self.rest.iter().take(most + 1).position(|octet| *octet == 0) else {
            return if self.rest.len() > most { Ok(None) } else { Err(Incomplete) };
        };
        let text = self.take(length)?;
        self.octet()?;
        Ok(Some(text))
    }

    /// Octets read so far.
    pub(super) const fn used(&self) -> usize {
        self.total - self.rest.len()
    }
}

/// The message goes on beyond what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomplete;

/// Why a parser has no message to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Try again with more octets.
    Incomplete,
    /// No further octet can make it right.
    Malformed(Malformed),
}

impl From<Incomplete> for Stop {
    fn from(Incomplete: Incomplete) -> Self {
        Self::Incomplete
    }
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_counts_what_it_read() {
        let mut cursor = Cursor::new(&[1, 2, 3, 2, 5, 6, 7]);
        assert_eq!(cursor.octet(), Ok(1));
        assert_eq!(cursor.array(), Ok([2, 3]));
        assert_eq!(cursor.counted(), Ok([5, 6].as_slice()));
        assert_eq!(cursor.used(), 6);
        assert_eq!(cursor.take(1), Ok([7].as_slice()));
        assert_eq!(cursor.used(), 7);
    }

    #[test]
    fn running_out_reads_nothing() {
        let mut cursor = Cursor::new(&[1, 2]);
        assert_eq!(cursor.take(3), Err(Incomplete));
        assert_eq!(cursor.array::<3>(), Err(Incomplete));
        assert_eq!(cursor.used(), 0);
        assert_eq!(cursor.take(2), Ok([1, 2].as_slice()));
        assert_eq!(cursor.take(0), Ok([].as_slice()));
        assert_eq!(cursor.octet(), Err(Incomplete));
    }

    #[test]
    fn a_count_without_all_its_octets_is_incomplete() {
        assert_eq!(Cursor::new(&[]).counted(), Err(Incomplete));
        assert_eq!(Cursor::new(&[3, 1, 2]).counted(), Err(Incomplete));
        assert_eq!(Cursor::new(&[0]).counted(), Ok([].as_slice()));
    }
}

//! Rows that were there before us, on their way from the table into the windows.

use std::ops::Range;

use super::weight::Sums;
use crate::session::Status;

/// A slice of rows. It is filled and emptied many times, and allocates for the first one only.
#[derive(Debug, Default)]
pub struct Past {
    text: Vec<u8>,
    rows: Vec<PastRow>,
}

#[derive(Debug)]
pub(super) struct PastRow {
    minute: i64,
    sums: Sums,
    user: Range<usize>,
    target: Range<usize>,
}

impl Past {
    /// Takes in a row that started in `minute` (since the Unix epoch): user, target's host (empty
    /// if it never named one) and port, octets sent and received, status.
    pub fn push(
        &mut self,
        minute: i64,
        user: &[u8],
        (host, port): (&[u8], u16),
        (bytes_sent, bytes_received): (u64, u64),
        status: Status,
    ) {
        let sums = Sums { sessions: 1, bytes_sent, bytes_received, ..Sums::default() };
        let start = self.text.len();
        self.text.extend_from_slice(user);
        let middle = self.text.len();
        if !host.is_empty() {
            put_target(host, port, &mut self.text);
        }
        let (user, target) = (start..middle, middle..self.text.len());
        self.rows.push(PastRow { minute, sums: sums.with(status), user, target });
    }

    /// Whether the slice is as long as the windows should be kept busy at a time.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// Minute, sums, user, and the target's name if there is one.
    pub(super) fn rows(&self) -> impl Iterator<Item = (i64, &Sums, &[u8], Option<&[u8]>)> {
        self.rows.iter().map(|row| {
            let target = Some(&self.text[row.target.clone()]).filter(|name| !name.is_empty());
            (row.minute, &row.sums, &self.text[row.user.clone()], target)
        })
    }
}

/// Appends the name of a target. Names sort as host and port do, since no host has a zero in it.
pub(super) fn put_target(host: &[u8], port: u16, name: &mut Vec<u8>) {
    name.extend_from_slice(host);
    name.push(0);
    name.extend_from_slice(&port.to_be_bytes());
}

/// The host and the port of a target's name.
pub(super) fn take_target(name: &[u8]) -> Option<(&[u8], u16)> {
    let (rest, port) = name.split_last_chunk::<2>()?;
    Some((rest.strip_suffix(&[0])?, u16::from_be_bytes(*port)))
}

/// Rows of one slice: a quarter of a millisecond.
const ROWS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_sort_by_host_then_port() {
        let sorted =
            [("a", 9), ("a", 443), ("a-b", 1), ("ab", 1), ("ab", 256), ("b", 0), ("::1", 80)];
        let mut names: Vec<_> = sorted
            .map(|(host, port)| {
                let mut name = Vec::new();
                put_target(host.as_bytes(), port, &mut name);
                assert_eq!(take_target(&name), Some((host.as_bytes(), port)));
                (name, (host, port))
            })
            .into();
        names.sort();
        let mut expected = sorted;
        expected.sort_unstable();
        assert_eq!(names.into_iter().map(|(_, target)| target).collect::<Vec<_>>(), expected);
    }
}

//! The rules that may hold, out of the lists of several places, in the order in which they are tried.

use smallvec::SmallVec;

use super::super::pattern::Pattern;
use super::super::rule::Reach;

/// Rules that may hold, each once, in the order in which they are tried. It is filled where it is, as it
/// is large.
#[derive(Debug, Default)]
pub(in crate::acl) struct Candidates<'a> {
    /// A heap, once all are there: none begins earlier than the one above it.
    lists: SmallVec<[List<'a>; 12]>,
    /// What patterns are compared with.
    name: &'a str,
}

/// Rules that lie in one place, in order.
#[derive(Debug)]
struct List<'a> {
    head: u32,
    reach: Reach,
    rest: Ranks<'a>,
}

/// The ranks of one list.
#[derive(Debug)]
pub(super) enum Ranks<'a> {
    /// Of all that lie there.
    All(&'a [u32]),
    /// Of those whose pattern names it, looked at when it is their turn.
    Naming(&'a [(u32, Pattern)]),
}

impl Ranks<'_> {
    fn next(&mut self, name: &str) -> Option<u32> {
        match self {
            Self::All(ranks) => ranks.split_off_first().copied(),
            Self::Naming(rest) => loop {
                let (rank, pattern) = rest.split_off_first()?;
                if pattern.is(name) {
                    return Some(*rank);
                }
            },
        }
    }
}

impl<'a> Candidates<'a> {
    /// Patterns are compared with this name.
    pub(super) const fn of_name(&mut self, name: &'a str) {
        self.name = name;
    }

    /// These rules may hold, whose destinations hold so.
    pub(super) fn push(&mut self, mut ranks: Ranks<'a>, reach: Reach) {
        if let Some(head) = ranks.next(self.name) {
            self.lists.push(List { head, reach, rest: ranks });
        }
    }

    /// All are there.
    pub(super) fn order(&mut self) {
        for at in (0..self.lists.len() / 2).rev() {
            self.sink(at);
        }
    }

    /// Puts the list at this place below those that begin earlier: each has two below it, so that of any
    /// number of lists few are moved.
    fn sink(&mut self, mut at: usize) {
        loop {
            let below = [2 * at + 1, 2 * at + 2].into_iter().filter(|at| *at < self.lists.len());
            match below.min_by_key(|at| self.lists[*at].head) {
                Some(least) if self.lists[least].head < self.lists[at].head => {
                    self.lists.swap(least, at);
                    at = least;
                }
                Some(_) | None => return,
            }
        }
    }
}

impl Iterator for Candidates<'_> {
    type Item = (u32, Reach);

    fn next(&mut self) -> Option<(u32, Reach)> {
        let rank = self.lists.first()?.head;
        let mut reach = Reach::default();
        while let Some(list) = self.lists.first_mut()
            && list.head == rank
        {
            reach.join(list.reach);
            match list.rest.next(self.name) {
                Some(head) => list.head = head,
                None => drop(self.lists.swap_remove(0)),
            }
            self.sink(0);
        }
        Some((rank, reach))
    }
}

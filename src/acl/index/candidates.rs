//! The rules that may hold, out of the lists of several places, in the order in which they are tried.

use smallvec::SmallVec;

use super::super::pattern::Pattern;
use super::super::rule::Reach;

/// Lists that are to be met one by one.
#[derive(Debug, Default)]
pub(super) struct Lists<'a>(SmallVec<[List<'a>; 12]>);

/// Rules that lie in one place, in order; never empty.
#[derive(Debug)]
struct List<'a> {
    head: u32,
    rest: Ranks<'a>,
    reach: Reach,
}

/// The ranks of one list.
#[derive(Debug)]
pub(super) enum Ranks<'a> {
    /// Of all that lie there.
    Plain(&'a [u32]),
    /// Of those for some ports, with the block that these are in.
    Ported(&'a [(u32, u32)]),
    /// Of those whose pattern names it, looked at when it is their turn.
    Patterns { rest: &'a [(u32, Pattern)], name: &'a str },
}

impl Iterator for Ranks<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::Plain(ranks) => ranks.split_off_first().copied(),
            Self::Ported(ranks) => ranks.split_off_first().map(|(_, rank)| *rank),
            Self::Patterns { rest, name } => loop {
                let (rank, pattern) = rest.split_off_first()?;
                if pattern.is(name) {
                    return Some(*rank);
                }
            },
        }
    }
}

impl<'a> Lists<'a> {
    /// These rules may hold, whose destinations hold so.
    pub(super) fn push(&mut self, mut ranks: Ranks<'a>, reach: Reach) {
        if let Some(head) = ranks.next() {
            self.0.push(List { head, rest: ranks, reach });
        }
    }

    /// Puts the list at this place below those that begin earlier: each has two below it, so that of any
    /// number of lists few are moved.
    fn sink(&mut self, mut at: usize) {
        loop {
            let below = [2 * at + 1, 2 * at + 2].into_iter().filter(|at| *at < self.0.len());
            match below.min_by_key(|at| self.0[*at].head) {
                Some(least) if self.0[least].head < self.0[at].head => {
                    self.0.swap(least, at);
                    at = least;
                }
                Some(_) | None => return,
            }
        }
    }
}

/// Rules that may hold, each once, in the order in which they are tried.
#[derive(Debug)]
pub(in crate::acl) struct Candidates<'a> {
    /// A heap: none begins earlier than the one above it.
    lists: Lists<'a>,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(mut lists: Lists<'a>) -> Self {
        for at in (0..lists.0.len() / 2).rev() {
            lists.sink(at);
        }
        Self { lists }
    }
}

impl Iterator for Candidates<'_> {
    type Item = (u32, Reach);

    fn next(&mut self) -> Option<(u32, Reach)> {
        let rank = self.lists.0.first()?.head;
        let mut reach = Reach::default();
        while let Some(list) = self.lists.0.first_mut()
            && list.head == rank
        {
            reach.join(list.reach);
            match list.rest.next() {
                Some(head) => list.head = head,
                None => drop(self.lists.0.swap_remove(0)),
            }
            self.lists.sink(0);
        }
        Some((rank, reach))
    }
}

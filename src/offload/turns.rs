//! Who is next: jobs that wait, of whoever they are, so that nobody waits for all that somebody else wants.
//!
//! ```text
//! line of 192.0.2.1     ■■■■■■■■      each has a line of its own, and one turn after the other; whoever
//! line of 192.0.2.2     ■■■■          comes anew is served before most of those who wait for their next
//! line of 198.51.100.7  ■
//! ```
//!
//! All lines together have a bound. Where it is reached, the last job of the longest line goes for one of a
//! clearly shorter line: whoever fills the room takes it from himself.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Jobs that wait.
#[derive(Debug)]
pub(super) struct Turns<J> {
    lines: HashMap<IpAddr, VecDeque<J>>,
    /// Lines that had no turn yet, in the order in which they came.
    new: VecDeque<IpAddr>,
    /// Those that had one, in the order of their next.
    old: VecDeque<IpAddr>,
    /// Turns of new lines since the last of an old one.
    new_ones: u32,
    waiting: usize,
    waiting_max: usize,
}

/// What became of a job that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came<J> {
    /// It waits.
    In,
    /// It waits, and this one of somebody else does no longer.
    For(J),
    /// There is no room for it.
    Full(J),
}

impl<J> Turns<J> {
    pub(super) fn new(waiting_max: usize) -> Self {
        Self {
            lines: HashMap::new(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            new_ones: 0,
            waiting: 0,
            waiting_max,
        }
    }

    /// How many wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// A job comes, which is of whoever has this address.
    pub(super) fn put(&mut self, whose: IpAddr, job: J) -> Came<J> {
        let mut gone = None;
        if self.waiting >= self.waiting_max {
            match self.make_room(whose) {
                Some(other) => gone = Some(other),
                None => return Came::Full(job),
            }
        }
        let line = self.lines.entry(whose).or_default();
        if line.is_empty() {
            self.new.push_back(whose);
        }
        line.push_back(job);
        self.waiting += 1;
        gone.map_or(Came::In, Came::For)
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Option<J> {
        let old = self.new.is_empty() || self.new_ones >= NEW_FOR_OLD && !self.old.is_empty();
        let whose = if old { self.old.pop_front()? } else { self.new.pop_front()? };
        self.new_ones = if old { 0 } else { self.new_ones.saturating_add(1) };
        let line = self.lines.get_mut(&whose)?;
        let job = line.pop_front();
        if line.is_empty() {
            self.lines.remove(&whose);
        } else {
            self.old.push_back(whose);
        }
        self.waiting -= usize::from(job.is_some());
        job
    }

    /// Takes the last job of the longest line, if that is longer than this one's will be.
    fn make_room(&mut self, whose: IpAddr) -> Option<J> {
        let own = self.lines.get(&whose).map_or(0, VecDeque::len);
        // None is longer than the others are on average, so they need not be looked at.
        if own * self.lines.len() >= self.waiting {
            return None;
        }
        let longest = self.lines.values_mut().max_by_key(|line| line.len())?;
        if longest.len() <= own + 1 {
            return None;
        }
        let gone = longest.pop_back();
        self.waiting -= usize::from(gone.is_some());
        gone
    }
}

/// Turns of new lines for one of an old one, where both wait.
const NEW_FOR_OLD: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn put(turns: &mut Turns<(u8, u32)>, number: u8, job: u32) -> Came<(u8, u32)> {
        turns.put(client(number), (number, job))
    }

    fn all(turns: &mut Turns<(u8, u32)>) -> Vec<(u8, u32)> {
        std::iter::from_fn(|| turns.take()).collect()
    }

    #[test]
    fn one_alone_is_served_in_his_order() {
        let mut turns = Turns::new(8);
        for job in 0..5 {
            assert_eq!(put(&mut turns, 1, job), Came::In);
        }
        assert_eq!(turns.waiting(), 5);
        assert_eq!(all(&mut turns), [(1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
        assert_eq!((turns.waiting(), turns.lines.len(), turns.old.len()), (0, 0, 0));
    }

    #[test]
    fn each_has_his_turn_and_whoever_comes_anew_is_next() {
        let mut turns = Turns::new(100);
        for number in 1..=3 {
            for job in 0..3 {
                put(&mut turns, number, job);
            }
        }
        let served: Vec<_> = (0..4).map(|_| turns.take().unwrap()).collect();
        assert_eq!(served, [(1, 0), (2, 0), (3, 0), (1, 1)]);
        put(&mut turns, 9, 0);
        put(&mut turns, 9, 1);
        let rest = all(&mut turns);
        assert_eq!(rest, [(9, 0), (2, 1), (3, 1), (1, 2), (9, 1), (2, 2), (3, 2)]);
    }

    #[test]
    fn new_ones_without_end_do_not_keep_those_who_wait_from_their_turns() {
        let mut turns = Turns::new(100);
        for job in 0..4 {
            put(&mut turns, 1, job);
        }
        let mut served = Vec::new();
        for number in 100..112 {
            put(&mut turns, number, 0);
            served.push(turns.take().unwrap().0);
        }
        assert_eq!(served.iter().filter(|number| **number == 1).count(), 4, "{served:?}");
    }

    #[test]
    fn where_there_is_no_room_the_longest_line_gives_way_to_a_clearly_shorter_one() {
        let mut turns = Turns::new(4);
        for job in 0..3 {
            assert_eq!(put(&mut turns, 1, job), Came::In);
        }
        assert_eq!(put(&mut turns, 2, 0), Came::In);
        assert_eq!(put(&mut turns, 1, 3), Came::Full((1, 3)));
        assert_eq!(put(&mut turns, 3, 0), Came::For((1, 2)));
        assert_eq!(
            put(&mut turns, 2, 1),
            Came::Full((2, 1)),
            "it would only be the other way round"
        );
        assert_eq!(put(&mut turns, 4, 0), Came::For((1, 1)));
        assert_eq!(put(&mut turns, 5, 0), Came::Full((5, 0)), "all have one");
        assert_eq!(turns.waiting(), 4);
        assert_eq!(all(&mut turns), [(1, 0), (2, 0), (3, 0), (4, 0)]);
    }
}

//! How many connections there may be in all, and how many sockets they may open. Shared by the
//! workers: one word, changed three times in most connections' lives.
//!
//! A client that has only connected has one socket. So that a crowd of those cannot take what others
//! need to reach their targets, each is **promised** one more. Were every promise kept in reserve, a
//! mute client would cost as much as a session; so the reserve is at most one part in
//! [`PROMISED_PART`] of all there is. Below that bound nobody who was let in is refused a socket for
//! want of room; above it the sockets go to those who ask first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bans::Bans;
use super::limits::Limits;
use super::proofs::Proofs;
use super::turned_away::TurnedAway;

/// The bounds, and what is taken.
#[derive(Debug)]
pub struct Admission {
    /// A [`Taken`] in one word, so that a bound over several of its numbers holds at every moment.
    taken: AtomicU64,
    seats_max: u32,
    sockets_max: u32,
    turned_away: TurnedAway,
    bans: Arc<Bans>,
    limits: Arc<Limits>,
    proofs: Proofs,
}

/// The right of one connection to exist, and to its sockets; given back when dropped.
#[derive(Debug)]
pub struct Seat {
    admission: Arc<Admission>,
    sockets: u32,
    /// Whether one more is promised.
    promised: bool,
}

/// What is taken, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    seats: u32,
    sockets: u32,
    promises: u32,
}

impl Admission {
    /// Room for `seats_max` connections with `sockets_max` sockets in all, each cut at two million.
    #[must_use]
    pub fn new(seats_max: u32, sockets_max: u32) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicU64::new(0),
            seats_max: seats_max.min(COUNT_MAX),
            sockets_max: sockets_max.min(COUNT_MAX),
            turned_away: TurnedAway::default(),
            bans: Arc::default(),
            limits: Arc::default(),
            proofs: Proofs::default(),
        })
    }

    /// A seat with a socket, or `None` when all seats are taken, or too many sockets.
    #[must_use]
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        self.change(|taken| {
            let promises = taken.promises + 1;
            let room = self.sockets_max.saturating_sub(self.reserved(promises));
            (taken.seats < self.seats_max && taken.sockets < room).then_some(Taken {
                seats: taken.seats + 1,
                sockets: taken.sockets + 1,
                promises,
            })
        })
        .then(|| Seat { admission: Arc::clone(self), sockets: 1, promised: true })
    }

    /// Those for whom there was no seat.
    #[must_use]
    pub const fn turned_away(&self) -> &TurnedAway {
        &self.turned_away
    }

    /// Addresses from which passwords are tried.
    #[must_use]
    pub const fn bans(&self) -> &Arc<Bans> {
        &self.bans
    }

    /// What is counted for limits.
    #[must_use]
    pub const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Connections of the process to itself.
    #[must_use]
    pub const fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    /// How many seats are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        Taken::unpack(self.taken.load(Relaxed)).seats
    }

    /// How many there are.
    #[must_use]
    pub const fn seats_max(&self) -> u32 {
        self.seats_max
    }

    /// How many sockets all connections have.
    #[must_use]
    pub fn sockets(&self) -> u32 {
        Taken::unpack(self.taken.load(Relaxed)).sockets
    }

    /// How many they may have.
    #[must_use]
    pub const fn sockets_max(&self) -> u32 {
        self.sockets_max
    }

    /// Whether the next client would be turned away.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let taken = Taken::unpack(self.taken.load(Relaxed));
        let room = self.sockets_max.saturating_sub(self.reserved(taken.promises + 1));
        taken.seats >= self.seats_max || taken.sockets >= room
    }

    /// The sockets that are kept for so many promises.
    fn reserved(&self, promises: u32) -> u32 {
        promises.min(self.sockets_max / PROMISED_PART)
    }

    /// Room for `more` sockets of a seat that has its promise still, or has not.
    fn claim(&self, more: u32, promised: bool) -> bool {
        self.change(|taken| {
            // What is promised to this one is not kept from it.
            let (room, promises) = if promised {
                (self.sockets_max, taken.promises.saturating_sub(1))
            } else {
                let reserved = self.reserved(taken.promises);
                (self.sockets_max.saturating_sub(reserved), taken.promises)
            };
            let sockets = taken.sockets + more;
            (sockets <= room).then_some(Taken { sockets, promises, ..taken })
        })
    }

    fn give_back(&self, seats: u32, sockets: u32, promises: u32) {
        self.taken.fetch_sub(Taken { seats, sockets, promises }.pack(), Relaxed);
    }

    fn change(&self, to: impl Fn(Taken) -> Option<Taken>) -> bool {
        let change = |word| to(Taken::unpack(word)).map(Taken::pack);
        self.taken.fetch_update(Relaxed, Relaxed, change).is_ok()
    }
}

impl Seat {
    /// Addresses from which passwords are tried.
    #[must_use]
    pub fn bans(&self) -> &Arc<Bans> {
        self.admission.bans()
    }

    /// Connections of the process to itself.
    #[must_use]
    pub fn proofs(&self) -> &Proofs {
        self.admission.proofs()
    }

    /// Asks for room for sockets up to so many. It has it if they are no more than before.
    #[must_use]
    pub fn claim(&mut self, sockets: u32) -> bool {
        let Some(more) = sockets.checked_sub(self.sockets).filter(|more| *more > 0) else {
            return true;
        };
        let room = self.admission.claim(more, self.promised);
        if room {
            self.sockets = sockets;
            self.promised = false;
        }
        room
    }

    /// Keeps no more than so many sockets.
    pub fn keep(&mut self, sockets: u32) {
        if sockets < self.sockets {
            self.admission.give_back(0, self.sockets - sockets, 0);
            self.sockets = sockets;
        }
    }

    /// It will not need another socket.
    pub fn forgo(&mut self) {
        if std::mem::take(&mut self.promised) {
            self.admission.give_back(0, 0, 1);
        }
    }

    /// How many sockets it has room for.
    #[must_use]
    pub const fn sockets(&self) -> u32 {
        self.sockets
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.admission.give_back(1, self.sockets, self.promised.into());
    }
}

impl Taken {
    const fn unpack(word: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "cut to COUNT_BITS before")]
        const fn part(word: u64) -> u32 {
            (word & COUNT_MAX as u64) as u32
        }
        Self {
            seats: part(word >> (2 * COUNT_BITS)),
            sockets: part(word >> COUNT_BITS),
            promises: part(word),
        }
    }

    const fn pack(self) -> u64 {
        (self.seats as u64) << (2 * COUNT_BITS)
            | (self.sockets as u64) << COUNT_BITS
            | self.promises as u64
    }
}

/// The part of all sockets that may be kept for those who have only connected is one of so many.
const PROMISED_PART: u32 = 4;
/// Bits of each of the three numbers.
const COUNT_BITS: u32 = 21;
/// The most that can be counted: a process has a million descriptors, unless its kernel was told
/// otherwise (fs.nr_open).
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_seat_comes_back_when_it_is_dropped() {
        let admission = Admission::new(2, 100);
        let first = admission.seat().unwrap();
        let _second = admission.seat().unwrap();
        assert!(admission.seat().is_none() && admission.is_full());
        assert_eq!((admission.taken(), admission.sockets()), (2, 2));
        drop(first);
        assert_eq!((admission.taken(), admission.sockets()), (1, 1));
        assert!(admission.seat().is_some());
    }

    #[test]
    fn mute_clients_take_most_of_the_sockets_and_leave_the_rest_to_those_who_go_on() {
        let admission = Admission::new(COUNT_MAX, 100);
        let mut seats: Vec<_> = std::iter::from_fn(|| admission.seat()).collect();
        assert_eq!((seats.len(), admission.is_full()), (75, true));
        let served = seats.iter_mut().map(|seat| seat.claim(2)).take_while(|room| *room).count();
        assert_eq!((served, admission.sockets()), (25, 100));
        // Whoever has been refused is served when another one has gone.
        drop(seats.swap_remove(0));
        assert!(seats[30].claim(2));
    }

    #[test]
    fn sessions_may_take_them_all() {
        let admission = Admission::new(COUNT_MAX, 100);
        let mut seats = Vec::new();
        while let Some(mut seat) = admission.seat() {
            assert!(seat.claim(2));
            seats.push(seat);
        }
        assert_eq!((seats.len(), admission.sockets()), (50, 100));
    }

    #[test]
    fn what_goes_beyond_the_promise_is_not_taken_from_those_who_have_one() {
        let admission = Admission::new(COUNT_MAX, 8);
        let [mut first, mut second] = [(); 2].map(|()| admission.seat().unwrap());
        assert!(first.claim(2));
        // Three are taken and one is promised.
        assert!(first.claim(6));
        assert!(!first.claim(7));
        assert!(second.claim(2));
        assert_eq!((first.sockets(), admission.sockets()), (6, 8));
        first.keep(1);
        assert_eq!((first.sockets(), admission.sockets()), (1, 3));
    }

    #[test]
    fn a_promise_can_be_given_back() {
        let admission = Admission::new(COUNT_MAX, 4);
        let mut refused = admission.seat().unwrap();
        let _waits = [(); 2].map(|()| admission.seat().unwrap());
        assert!(admission.seat().is_none());
        refused.forgo();
        refused.forgo();
        drop(refused);
        assert_eq!(admission.sockets(), 2);
        assert!(admission.seat().is_some());
    }

    proptest! {
        /// Whatever seats do, the sums are theirs and the bounds hold.
        #[test]
        fn sums_and_bounds_hold(
            seats_max in 1..8_u32,
            sockets_max in 1..20_u32,
            steps in prop::collection::vec((0..5_u8, any::<prop::sample::Index>(), 0..5_u32), 0..80),
        ) {
            let admission = Admission::new(seats_max, sockets_max);
            let mut seats: Vec<Seat> = Vec::new();
            for (step, at, count) in steps {
                match step {
                    0 => seats.extend(admission.seat()),
                    _ if seats.is_empty() => {}
                    1 => drop(seats.swap_remove(at.index(seats.len()))),
                    2 => {
                        let at = at.index(seats.len());
                        let before = seats[at].sockets();
                        let room = seats[at].claim(count);
                        prop_assert_eq!(seats[at].sockets(), if room { count.max(before) } else { before });
                    }
                    3 => {
                        let at = at.index(seats.len());
                        seats[at].keep(count.max(1));
                    }
                    _ => {
                        let at = at.index(seats.len());
                        seats[at].forgo();
                    }
                }
                let taken = Taken::unpack(admission.taken.load(Relaxed));
                prop_assert_eq!(taken.seats as usize, seats.len());
                prop_assert_eq!(taken.sockets, seats.iter().map(Seat::sockets).sum::<u32>());
                prop_assert_eq!(
                    taken.promises as usize,
                    seats.iter().filter(|seat| seat.promised).count()
                );
                prop_assert!(taken.seats <= seats_max && taken.sockets <= sockets_max);
            }
        }
    }
}

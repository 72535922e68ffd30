//! How many connections there may be in all. Shared by the workers: one counter, touched twice in a
//! connection's life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::turned_away::TurnedAway;

/// The bound, and how many seats are taken.
#[derive(Debug)]
pub struct Admission {
    taken: AtomicU32,
    seats_max: u32,
    turned_away: TurnedAway,
}

/// The right of one connection to exist; given back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Admission>);

impl Admission {
    /// Room for `seats_max` connections.
    #[must_use]
    pub fn new(seats_max: u32) -> Arc<Self> {
        Arc::new(Self { taken: AtomicU32::new(0), seats_max, turned_away: TurnedAway::default() })
    }

    /// A seat, or `None` when all are taken.
    #[must_use]
    pub fn seat(self: &Arc<Self>) -> Option<Seat> {
        if self.taken.fetch_add(1, Relaxed) < self.seats_max {
            return Some(Seat(Arc::clone(self)));
        }
        self.taken.fetch_sub(1, Relaxed);
        None
    }

    /// Those for whom there was no seat.
    #[must_use]
    pub const fn turned_away(&self) -> &TurnedAway {
        &self.turned_away
    }

    /// How many seats are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }

    /// How many there are.
    #[must_use]
    pub const fn seats_max(&self) -> u32 {
        self.seats_max
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_comes_back_when_it_is_dropped() {
        let admission = Admission::new(2);
        let first = admission.seat().unwrap();
        let _second = admission.seat().unwrap();
        assert!(admission.seat().is_none());
        assert_eq!(admission.taken(), 2);
        drop(first);
        assert!(admission.seat().is_some());
    }
}

//! Names as small numbers: each is kept once, whatever the number of minutes that speak of it.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// A name's number. It is given to another name once no minute speaks of it.
pub(super) type NameId = u32;

/// All names of one kind. Clients choose some of them, so the hash is seeded at random.
#[derive(Debug, Default)]
pub(super) struct Names {
    table: HashTable<NameId>,
    seed: RandomState,
    /// By number; empty where a number is free.
    names: Vec<Box<[u8]>>,
    free: Vec<NameId>,
    octets: usize,
    kept: usize,
}

impl Names {
    /// The number of this name, which gets one if it has none.
    pub(super) fn intern(&mut self, name: &[u8]) -> NameId {
        let Self { table, seed, names, free, octets, .. } = self;
        let hash = seed.hash_one(name);
        if let Some(id) = table.find(hash, |id| *names[*id as usize] == *name) {
            return *id;
        }
        *octets += name.len();
        let id = match free.pop() {
            Some(id) => {
                names[id as usize] = name.into();
                id
            }
            None => {
                names.push(name.into());
                // Invariant: the bound on memory is reached long before four milliards of names.
                NameId::try_from(names.len() - 1).expect("fewer names")
            }
        };
        table.insert_unique(hash, id, |id| seed.hash_one(&*names[*id as usize]));
        id
    }

    /// The name of this number.
    pub(super) fn name(&self, id: NameId) -> &[u8] {
        self.names.get(id as usize).map_or(&[], |name| name)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// One more than the greatest number.
    pub(super) fn end(&self) -> usize {
        self.names.len()
    }

    /// Whether there are so many more than were in use at the last look that another one pays.
    pub(super) fn have_grown(&self) -> bool {
        self.len() >= 2 * self.kept + GROWTH_MIN
    }

    /// Forgets those that are not in use. Least numbers are given out first, and those behind the last
    /// one in use are given up: what a flood of names took comes back when their minutes have gone.
    pub(super) fn retain(&mut self, used: &[bool]) {
        let Self { table, names, free, octets, .. } = self;
        let mut live = vec![false; names.len()];
        table.retain(|id| {
            let keep = used.get(*id as usize).copied().unwrap_or(false);
            if !keep {
                let name = std::mem::take(&mut names[*id as usize]);
                *octets -= name.len();
            }
            live[*id as usize] = keep;
            keep
        });
        table.shrink_to(2 * table.len(), |id| self.seed.hash_one(&*names[*id as usize]));
        let end = live.iter().rposition(|live| *live).map_or(0, |last| last + 1);
        names.truncate(end);
        names.shrink_to(2 * end);
        // The last one is taken first.
        *free = (0..).zip(&live[..end]).filter(|(_, live)| !**live).map(|(id, _)| id).collect();
        free.reverse();
        self.kept = table.len();
    }

    /// Octets of memory, about.
    pub(super) fn memory(&self) -> usize {
        let tables = self.table.capacity() * 5 + self.free.capacity() * 4;
        self.octets + self.len() * ALLOCATION + self.names.capacity() * 16 + tables
    }
}

/// What the allocator adds to a name, about.
const ALLOCATION: usize = 16;
/// New names that are not looked at before there are so many.
const GROWTH_MIN: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_until_it_is_forgotten() {
        let mut names = Names::default();
        let (a, b) = (names.intern(b"a"), names.intern(b"b"));
        assert_eq!((names.intern(b"a"), names.name(b)), (a, b"b".as_slice()));
        assert_ne!(a, b);
        let mut used = vec![false; names.end()];
        used[b as usize] = true;
        names.retain(&used);
        assert_eq!((names.len(), names.name(a)), (1, b"".as_slice()));
        assert_eq!((names.intern(b"c"), names.intern(b"b")), (a, b), "its number is free again");
        assert_eq!((names.name(a), names.end()), (b"c".as_slice(), 2));
    }

    #[test]
    fn the_room_that_a_flood_took_comes_back_although_a_name_of_its_end_stays() {
        let mut names = Names::default();
        let many = 100_000;
        let flood: Vec<_> =
            (0..many).map(|number| names.intern(&u32::to_be_bytes(number))).collect();
        let mut used = vec![false; names.end()];
        used[flood[99_999] as usize] = true;
        names.retain(&used);
        assert_eq!((names.len(), names.end()), (1, 100_000));
        // New ones get the least numbers, so that the end is free when the last one goes.
        let young: Vec<_> = (0..10).map(|number| names.intern(&[number])).collect();
        assert_eq!(young, (0..10).collect::<Vec<_>>());
        let mut used = vec![false; names.end()];
        used[..10].fill(true);
        names.retain(&used);
        assert_eq!((names.len(), names.end()), (10, 10));
        assert!(names.memory() < 10_000, "{}", names.memory());
        assert_eq!(names.name(young[3]), &[3]);
    }

    #[test]
    fn memory_follows_the_names() {
        let mut names = Names::default();
        let before = names.memory();
        for number in 0..GROWTH_MIN {
            assert!(!names.have_grown());
            names.intern(format!("{number:0100}").as_bytes());
        }
        assert!(names.have_grown() && names.memory() - before > 100 * GROWTH_MIN);
        names.retain(&[]);
        assert!(!names.have_grown() && names.len() == 0);
        assert!(names.memory() < 50 * GROWTH_MIN, "{}", names.memory());
    }
}

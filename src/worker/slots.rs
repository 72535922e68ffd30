//! Fixed-capacity generational slots: where a worker's connections live.

use std::mem;

use crate::key::Key;

/// At most `capacity` values, each found by a [`Key`] that no later tenant of its slot will answer to.
///
/// All memory is reserved at the start, so nothing ever moves and no insertion allocates; pages that
/// were never used cost nothing.
pub struct Slots<T> {
    entries: Vec<Entry<T>>,
    capacity: usize,
    /// Head of the chain of vacant entries; the one vacated last is taken first, it is still warm.
    vacant: Option<u32>,
    len: usize,
}

struct Entry<T> {
    /// Of the tenant, or of the next one.
    generation: u32,
    state: State<T>,
}

enum State<T> {
    Vacant { next: Option<u32> },
    Taken(T),
}

impl<T> Slots<T> {
    /// Room for `capacity` values.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let capacity = capacity as usize;
        Self { entries: Vec::with_capacity(capacity), capacity, vacant: None, len: 0 }
    }

    /// Puts a value into a vacant slot.
    ///
    /// # Errors
    /// All slots are taken; the value comes back.
    pub fn insert(&mut self, value: T) -> Result<Key, T> {
        let Some(key) = self.next_key() else { return Err(value) };
        match self.entries.get_mut(key.slot as usize) {
            Some(entry) => {
                let before = mem::replace(&mut entry.state, State::Taken(value));
                if let State::Vacant { next } = before {
                    self.vacant = next;
                }
            }
            None => {
                self.entries.push(Entry { generation: key.generation, state: State::Taken(value) });
            }
        }
        self.len += 1;
        Ok(key)
    }

    /// The key that the next [`insert`](Self::insert) will return; `None` when all slots are taken.
    #[must_use]
    pub fn next_key(&self) -> Option<Key> {
        if let Some(slot) = self.vacant {
            return self
                .entries
                .get(slot as usize)
                .map(|entry| Key { slot, generation: entry.generation });
        }
        if self.entries.len() == self.capacity {
            return None;
        }
        let slot = u32::try_from(self.entries.len()).ok()?;
        Some(Key { slot, generation: 0 })
    }

    /// The value of `key`, if it still lives there.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.slot as usize) {
            Some(Entry { generation, state: State::Taken(value) })
                if *generation == key.generation =>
            {
                Some(value)
            }
            Some(_) | None => None,
        }
    }

    /// The value of `key`, if it still lives there.
    #[must_use]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.slot as usize) {
            Some(Entry { generation, state: State::Taken(value) })
                if *generation == key.generation =>
            {
                Some(value)
            }
            Some(_) | None => None,
        }
    }

    /// Takes the value of `key` out. From here on the key finds nothing.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let entry = self.entries.get_mut(key.slot as usize)?;
        entry.generation = key.successor().generation;
        let before = mem::replace(&mut entry.state, State::Vacant { next: self.vacant });
        self.vacant = Some(key.slot);
        self.len -= 1;
        match before {
            State::Taken(value) => Some(value),
            State::Vacant { .. } => None,
        }
    }

    /// The key of whoever lives in `slot` now. With [`span`](Self::span) this walks all tenants in
    /// portions, while they come and go.
    #[must_use]
    pub fn key_at(&self, slot: u32) -> Option<Key> {
        match self.entries.get(slot as usize) {
            Some(Entry { generation, state: State::Taken(_) }) => {
                Some(Key { slot, generation: *generation })
            }
            Some(Entry { state: State::Vacant { .. }, .. }) | None => None,
        }
    }

    /// One past the highest slot that was ever taken.
    #[must_use]
    pub fn span(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    /// The keys of all tenants, by slot.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        (0..self.span()).filter_map(|slot| self.key_at(slot))
    }

    /// How many slots are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// No slot is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many there can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn full_slots_give_the_value_back() {
        let mut slots = Slots::new(1);
        let key = slots.insert("first").unwrap();
        assert_eq!(slots.next_key(), None);
        assert_eq!(slots.insert("second"), Err("second"));
        assert_eq!(slots.get(key), Some(&"first"));
    }

    #[test]
    fn the_key_of_an_earlier_tenant_finds_nothing() {
        let mut slots = Slots::new(4);
        let old = slots.insert(1).unwrap();
        assert_eq!(slots.remove(old), Some(1));
        let new = slots.insert(2).unwrap();
        assert_eq!((new.slot, new.generation), (old.slot, old.generation + 1));
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.remove(new), Some(2));
    }

    #[test]
    fn insertions_never_allocate() {
        let mut slots = Slots::new(100);
        let before = slots.entries.as_ptr();
        for round in 0..3 {
            while slots.insert(round).is_ok() {}
            let keys: Vec<Key> = slots.keys().collect();
            assert_eq!(keys.len(), 100);
            for key in keys {
                assert_eq!(slots.remove(key), Some(round));
            }
        }
        assert_eq!(slots.entries.as_ptr(), before);
    }

    #[derive(Clone, Debug)]
    enum Action {
        Insert(u8),
        Remove(prop::sample::Index),
        Change(prop::sample::Index, u8),
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            3 => any::<u8>().prop_map(Action::Insert),
            2 => any::<prop::sample::Index>().prop_map(Action::Remove),
            1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, to)| Action::Change(at, to)),
        ]
    }

    proptest! {
        /// The model: every key ever given out, with its value while it lives.
        #[test]
        fn slots_agree_with_a_list_of_all_keys_ever_given(
            capacity in 0..6_u32,
            actions in prop::collection::vec(action(), 0..120),
        ) {
            let mut slots = Slots::new(capacity);
            let mut model: Vec<(Key, Option<u8>)> = Vec::new();
            for action in actions {
                let live = model.iter().filter(|(_, value)| value.is_some()).count();
                match action {
                    Action::Insert(value) => {
                        let expected = slots.next_key();
                        let inserted = slots.insert(value);
                        prop_assert_eq!(inserted.ok(), expected);
                        prop_assert_eq!(expected.is_some(), live < capacity as usize);
                        if let Some(key) = expected {
                            prop_assert!(model.iter().all(|(known, _)| *known != key));
                            model.push((key, Some(value)));
                        }
                    }
                    Action::Remove(at) if !model.is_empty() => {
                        let at = at.index(model.len());
                        let (key, value) = &mut model[at];
                        prop_assert_eq!(slots.remove(*key), value.take());
                    }
                    Action::Change(at, to) if !model.is_empty() => {
                        let at = at.index(model.len());
                        let (key, value) = &mut model[at];
                        let found = slots.get_mut(*key);
                        prop_assert_eq!(found.as_deref().copied(), *value);
                        if let Some(found) = found {
                            *found = to;
                            *value = Some(to);
                        }
                    }
                    Action::Remove(_) | Action::Change(..) => {}
                }
                let mut live: Vec<Key> =
                    model.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| *key).collect();
                live.sort();
                prop_assert_eq!(slots.len(), live.len());
                prop_assert_eq!(slots.is_empty(), live.is_empty());
                prop_assert_eq!(slots.keys().collect::<Vec<_>>(), live);
                for (key, value) in &model {
                    prop_assert_eq!(slots.get(*key).copied(), *value);
                }
            }
        }
    }
}

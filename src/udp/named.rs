//! The limits on bandwidth that rules have named for targets of an association.

use std::sync::Arc;

use smallvec::SmallVec;

/// Their names, each once, numbered as they came: never more than the configuration has.
#[derive(Debug, Default)]
pub(super) struct Named {
    names: SmallVec<[Arc<str>; 1]>,
}

/// A limit that a datagram counts for.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// Its number among [those of the association](super::Association::limits).
    pub number: usize,
    /// What it is called.
    pub name: &'a Arc<str>,
}

impl Named {
    /// A limit by its name, which is known from now on.
    pub(super) fn limit<'a>(&mut self, name: &'a Arc<str>) -> Limit<'a> {
        let known = self.names.iter().position(|known| known == name);
        let number = known.unwrap_or_else(|| {
            self.names.push(Arc::clone(name));
            self.names.len() - 1
        });
        Limit { number, name }
    }

    /// All of them, in the order of their numbers.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

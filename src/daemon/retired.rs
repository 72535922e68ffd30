//! What is in force no more and may still be held by a worker: it is freed here, off the workers, once nobody
//! else has it. The rules of a large file are some hundred thousand pieces of memory.

use std::sync::Arc;

/// What waits to be freed.
#[derive(Debug)]
pub(super) struct Retired<T>(Vec<Arc<T>>);

impl<T> Retired<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Keeps it until nobody else has it.
    pub(super) fn keep(&mut self, old: Arc<T>) {
        self.0.push(old);
    }

    /// Frees what nobody else has by now.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|old| Arc::strong_count(old) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_have_is_freed_by_nobody_but_us() {
        let (mut retired, old) = (Retired::new(), Arc::new(()));
        let (weak, of_a_worker) = (Arc::downgrade(&old), Arc::clone(&old));
        retired.keep(old);
        retired.sweep();
        drop(of_a_worker);
        assert!(weak.upgrade().is_some(), "the worker has not freed it");
        retired.sweep();
        assert!(weak.upgrade().is_none());
    }
}

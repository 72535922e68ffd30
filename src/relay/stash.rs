//! What a sink refused, in blocks from the worker's pool.

/// What one direction has read and not yet delivered. Never empty: no octets, no stash.
pub(crate) struct Stash {
    /// A chain long enough for `start + octets`.
    first: Box<Block>,
    /// Where in the first block the octets begin.
    start: u32,
    /// How many there are, over all blocks.
    octets: u32,
}

impl Stash {
    /// Copies `octets` into blocks of the pool; `None` if there are none to keep.
    pub(crate) fn keep(octets: &[u8], pool: &mut StashPool) -> Option<Self> {
        // Invariant: a carrier's scratch and a handshake's early data are far below 4 GiB.
        let total = u32::try_from(octets.len()).expect("a stash is smaller than 4 GiB");
        let mut first: Option<Box<Block>> = None;
        // From the last block to the first, so that each can be given its successor.
        for part in octets.chunks(BLOCK_OCTETS).rev() {
            let mut block = pool.lend();
            block.octets[..part.len()].copy_from_slice(part);
            block.next = first;
            first = Some(block);
        }
        first.map(|first| Self { first, start: 0, octets: total })
    }

    /// Octets still to be delivered; never 0.
    pub(crate) fn len(&self) -> usize {
        self.octets as usize
    }

    /// The next octets in order, as many as lie together.
    pub(crate) fn front(&self) -> &[u8] {
        let start = self.start as usize;
        &self.first.octets[start..BLOCK_OCTETS.min(start + self.len())]
    }

    /// Forgets the first `taken` octets of [`front`](Self::front), returning emptied blocks to the
    /// pool; `None` when nothing is left.
    pub(crate) fn consume(mut self, taken: usize, pool: &mut StashPool) -> Option<Self> {
        // Invariant: `taken` is what a sink accepted of `front`, so it is at most its length.
        let taken = u32::try_from(taken).expect("a sink accepts at most what it was given");
        self.octets -= taken;
        self.start += taken;
        if self.octets == 0 {
            self.release(pool);
            return None;
        }
        if self.start as usize == BLOCK_OCTETS {
            // Invariant: octets are left, and this block has none of them.
            let next = self.first.next.take().expect("the chain covers all octets");
            pool.take_back(std::mem::replace(&mut self.first, next));
            self.start = 0;
        }
        Some(self)
    }

    /// Returns all blocks to the pool, delivered or not.
    pub(crate) fn release(self, pool: &mut StashPool) {
        let mut next = Some(self.first);
        while let Some(mut block) = next {
            next = block.next.take();
            pool.take_back(block);
        }
    }
}

struct Block {
    next: Option<Box<Block>>,
    octets: [u8; BLOCK_OCTETS],
}

/// The blocks of one worker: a few kept for reuse, the rest returned to the allocator.
#[derive(Default)]
pub struct StashPool {
    free: Vec<Box<Block>>,
    lent: usize,
}

impl StashPool {
    /// An empty pool; it allocates when the first sink refuses something.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks now in use by relays.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.lent
    }

    /// How much may be read at once, and so what a sink can refuse. Plenty, until so many relays are
    /// stalled that memory has to be thought of: then no more than one block each.
    pub(crate) fn read_limit(&self) -> usize {
        if self.lent < LENT_BLOCKS_PLENTY { usize::MAX } else { BLOCK_OCTETS }
    }

    fn lend(&mut self) -> Box<Block> {
        self.lent += 1;
        self.free.pop().unwrap_or_else(|| Box::new(Block { next: None, octets: [0; BLOCK_OCTETS] }))
    }

    fn take_back(&mut self, block: Box<Block>) {
        self.lent = self.lent.saturating_sub(1);
        if self.free.len() < FREE_BLOCKS_MAX {
            self.free.push(block);
        }
    }
}

/// Size of a block in octets.
pub const BLOCK_OCTETS: usize = 16 * 1024;
/// Blocks that a pool keeps for reuse: 4 MiB per worker.
pub const FREE_BLOCKS_MAX: usize = 256;
/// From this many blocks in use (64 MiB per worker) a relay reads one block at a time.
pub const LENT_BLOCKS_PLENTY: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_to_keep_is_no_stash() {
        let mut pool = StashPool::new();
        assert!(Stash::keep(&[], &mut pool).is_none());
        assert_eq!(pool.lent(), 0);
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_bound() {
        let mut pool = StashPool::new();
        let octets = vec![1; (FREE_BLOCKS_MAX + 3) * BLOCK_OCTETS];
        let stash = Stash::keep(&octets, &mut pool).unwrap();
        assert_eq!(pool.lent(), FREE_BLOCKS_MAX + 3);
        stash.release(&mut pool);
        assert_eq!((pool.lent(), pool.free.len()), (0, FREE_BLOCKS_MAX));
    }

    #[test]
    fn when_much_is_stalled_reads_shrink_to_a_block() {
        let mut pool = StashPool::new();
        assert_eq!(pool.read_limit(), usize::MAX);
        pool.lent = LENT_BLOCKS_PLENTY;
        assert_eq!(pool.read_limit(), BLOCK_OCTETS);
    }

    proptest! {
        #[test]
        fn octets_leave_in_the_order_in_which_they_came(
            total in 1..5 * BLOCK_OCTETS,
            bites in prop::collection::vec(1..2 * BLOCK_OCTETS, 1..12),
        ) {
            let mut pool = StashPool::new();
            let octets: Vec<u8> = (0..=250).cycle().take(total).collect();
            let mut stash = Stash::keep(&octets, &mut pool);
            let mut out = Vec::new();
            let mut bites = bites.iter().cycle();
            while let Some(held) = stash.take() {
                prop_assert_eq!(held.len(), total - out.len());
                let bite = held.front().len().min(*bites.next().unwrap());
                out.extend_from_slice(&held.front()[..bite]);
                stash = held.consume(bite, &mut pool);
            }
            prop_assert_eq!(out, octets);
            prop_assert_eq!(pool.lent(), 0);
        }
    }
}

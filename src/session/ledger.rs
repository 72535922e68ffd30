//! The ledger: chunks of slots that never move, each worker with a share of its own.
//!
//! A slot is handed out by its worker's [`Share`] without a lock, filled, settled by the same
//! worker, and freed by the writer alone ([`Ledger::free`]) once its row is committed. The worker
//! keeps the order in which it settled, and takes back what the writer has freed, a few at each
//! claim.
//!
//! With a [`LedgerFile`] the chunks lie in it and outlive the process; the next start reads them
//! ([`Wreck`](super::Wreck)). When somebody removes the file, nobody would find them: a new one is made
//! with new chunks, and no slot of before is claimed again. The sessions in those end where they are.

use std::collections::VecDeque;
use std::sync::OnceLock;

use parking_lot::Mutex;
use zerocopy::FromZeros;

use super::SessionId;
use super::ended::Ended;
use super::facts::{Ending, Opening};
use super::ledger_file::LedgerFile;
use super::slot::{Copied, Session, SessionRef, needs_continuation};
use super::view::SessionView;
use crate::acl::Ruling;

/// All slots of the process.
#[derive(Debug)]
pub struct Ledger {
    chunks: Box<[OnceLock<&'static [Session]>]>,
    growth: Mutex<Growth>,
    slots_max: u32,
    /// Workers put into it what they settle, and outlive nobody: it is leaked as the slots are.
    ended: &'static Ended,
}

#[derive(Debug, Default)]
struct Growth {
    chunks: u32,
    /// Of those, the first so many lie in files that are gone: their slots are not claimed any more.
    retired: u32,
    /// Where the others lie; `None` if they are not to outlive the process.
    file: Option<LedgerFile>,
    /// Why a crash would lose sessions, if it would.
    trouble: Option<String>,
    /// The same, as long as a session is in a chunk that is retired, and for so many more inspections.
    waning: Option<(String, u32)>,
}

/// A chunk could not be added: the bound `ledger_slots_max` is reached, or memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger cannot grow: its bound or the memory's is reached")]
pub struct Full;

impl Ledger {
    /// A ledger of at most `slots_max` slots, rounded up to whole chunks; empty so far. Its slots lie
    /// in plain memory.
    #[must_use]
    pub fn new(slots_max: u32) -> Self {
        let chunks = slots_max.div_ceil(SLOTS_PER_CHUNK).max(1);
        Self {
            // As many again may be retired.
            chunks: (0..2 * chunks).map(|_| OnceLock::new()).collect(),
            growth: Mutex::default(),
            slots_max: chunks * SLOTS_PER_CHUNK,
            ended: Box::leak(Box::new(Ended::new())),
        }
    }

    /// The same with the chunks to come in `file`, so that they outlive the process.
    #[must_use]
    pub fn in_file(mut self, file: LedgerFile) -> Self {
        self.growth.get_mut().file = Some(file);
        self
    }

    /// Adds a chunk and returns its slots, for one worker's [`Share`]. Where its file has no room the
    /// chunk lies in plain memory, and [`Ledger::trouble`] says so.
    ///
    /// # Errors
    /// [`Full`] when the bound is reached or memory is.
    pub fn grow(&self) -> Result<Chunk, Full> {
        self.add_chunk(&mut self.growth.lock())
    }

    fn add_chunk(&self, growth: &mut Growth) -> Result<Chunk, Full> {
        let number = growth.chunks;
        if growth.living() >= self.slots_max / SLOTS_PER_CHUNK {
            return Err(Full);
        }
        let cell = self.chunks.get(number as usize).ok_or(Full)?;
        let mapped = growth.file.as_ref().map(|file| file.chunk(number));
        let slots = match mapped {
            Some(Ok(slots)) => slots,
            Some(Err(error)) => {
                growth.fail(format!("the ledger's file has no room for more sessions: {error}"));
                in_memory()?
            }
            None => in_memory()?,
        };
        cell.set(slots).map_err(|_| Full)?;
        growth.chunks += 1;
        let first = number * SLOTS_PER_CHUNK;
        let claimed_from = growth.retired * SLOTS_PER_CHUNK;
        Ok(Chunk { slots, first, claimed_from, ended: self.ended })
    }

    /// Looks whether the file can still be found after a crash; to be done about once a second. `false`
    /// if it cannot: then [`Ledger::renew`] is to be called.
    #[must_use]
    pub fn inspect(&self) -> bool {
        let mut growth = self.growth.lock();
        let Some(file) = &growth.file else { return true };
        if !file.has_name() {
            let why = format!("somebody removed the ledger's file {}", file.path());
            growth.fail(why);
            return false;
        }
        let retired = growth.retired;
        match &mut growth.waning {
            Some((_, 0)) if !self.is_used(retired) => {
                growth.waning = None;
                tracing::info!("a crash would lose no sessions any more");
            }
            Some((_, inspections)) => *inspections = inspections.saturating_sub(1),
            None => {}
        }
        true
    }

    /// Makes a new file in the place of the one that was removed, with a chunk for each of so many
    /// workers. With that chunk a worker's [`Share`] gives up the slots that it had. Answers none if a
    /// bound is reached or no file can be made; then all stays as it was.
    #[must_use]
    pub fn renew(&self, workers: usize) -> Vec<Chunk> {
        let mut growth = self.growth.lock();
        let room = self.chunks.len().saturating_sub(growth.chunks as usize);
        if room < workers {
            return Vec::new();
        }
        let made = growth.file.as_ref().and_then(|file| match file.successor() {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::debug!("the ledger gets no new file: {error}");
                None
            }
        });
        let Some(file) = made else { return Vec::new() };
        tracing::warn!("a new ledger is made: {}", file.path());
        growth.retired = growth.chunks;
        growth.file = Some(file);
        // Whatever was wrong with the chunks of before is over with the last session in them.
        let why = growth.trouble.take().or_else(|| growth.waning.take().map(|(why, _)| why));
        growth.waning = why.map(|why| (why, WANING_INSPECTIONS));
        (0..workers).map_while(|_| self.add_chunk(&mut growth).ok()).collect()
    }

    /// Whether a session is in one of the first so many chunks.
    fn is_used(&self, chunks: u32) -> bool {
        let slots = self.chunks.iter().take(chunks as usize).filter_map(OnceLock::get);
        slots.flat_map(|slots| slots.iter()).any(|slot| slot.current_use().is_some())
    }

    /// Says that the slots do not outlive the process although they should.
    pub fn fail(&self, why: String) {
        self.growth.lock().fail(why);
    }

    /// Why a crash would lose sessions; `None` if it would not, or if that is how it was wanted.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let growth = self.growth.lock();
        growth.trouble.clone().or_else(|| growth.waning.as_ref().map(|(why, _)| why.clone()))
    }

    /// Removes the file: everything in it is stored.
    pub fn remove_file(&self) {
        if let Some(file) = &self.growth.lock().file
            && let Err(error) = file.remove()
        {
            tracing::debug!("the ledger's file was not removed: {error}");
        }
    }

    /// Leaves the file behind as a killed process does.
    #[cfg(test)]
    pub(super) fn abandon(self) {
        let file = self.growth.into_inner().file;
        assert!(file.is_some_and(|file| file.unlock().is_ok()));
    }

    /// Where the file is; `None` without one.
    #[must_use]
    pub fn file_path(&self) -> Option<String> {
        self.growth.lock().file.as_ref().map(LedgerFile::path)
    }

    /// How many slots there are, retired ones left out, and how many there may be.
    #[must_use]
    pub fn capacity(&self) -> (u32, u32) {
        (self.growth.lock().living().saturating_mul(SLOTS_PER_CHUNK), self.slots_max)
    }

    /// Copies a session; `None` if its slot has been used again since.
    #[must_use]
    pub fn view(&self, reference: SessionRef) -> Option<SessionView> {
        self.copied(reference).as_ref().map(SessionView::from_copied)
    }

    /// The same as it lies in the slot, for a look at it.
    pub(crate) fn copied(&self, reference: SessionRef) -> Option<Copied> {
        // A copy fails when the session was settled under it, which happens once, or when the slot
        // is no longer its own, which stays so.
        for _ in 0..COPIES_MAX {
            let rest = reference.session.continuation().and_then(|index| self.slot(index));
            if let Some(copied) = reference.session.copy(reference.generation, rest) {
                return Some(copied);
            }
            if !reference.is_current() {
                return None;
            }
        }
        None
    }

    /// The session of this id, if it has ended and is not stored yet; the [`Table`](super::Table) finds
    /// the live ones. However many slots there are, it looks at one.
    #[must_use]
    pub fn find_ended(&self, id: SessionId) -> Option<SessionView> {
        self.view(self.ended.find(id)?).filter(|view| view.id == id)
    }

    /// How many sessions it holds: the live ones, and those that ended and are not stored yet. Looks
    /// at every slot.
    #[must_use]
    pub fn held(&self) -> usize {
        self.slots().filter_map(Session::current_use).count()
    }

    /// Gives a settled slot back to its worker. Only the writer may call it, once its row is
    /// committed; a stale reference is ignored.
    pub fn free(&self, reference: SessionRef) {
        if !reference.is_current() {
            return;
        }
        let rest = reference.session.continuation().and_then(|index| self.slot(index));
        reference.session.free(rest);
    }

    fn slots(&self) -> impl Iterator<Item = &'static Session> {
        self.chunks.iter().filter_map(OnceLock::get).flat_map(|slots| slots.iter())
    }

    fn slot(&self, index: u32) -> Option<&'static Session> {
        let chunk = self.chunks.get((index / SLOTS_PER_CHUNK) as usize)?.get()?;
        chunk.get((index % SLOTS_PER_CHUNK) as usize)
    }
}

impl Growth {
    /// Chunks whose slots may be claimed.
    const fn living(&self) -> u32 {
        self.chunks - self.retired
    }

    fn fail(&mut self, why: String) {
        if self.trouble.is_none() {
            tracing::error!("a crash would lose sessions: {why}");
            self.trouble = Some(why);
        }
    }
}

/// A chunk that ends with the process.
fn in_memory() -> Result<&'static [Session], Full> {
    let slots =
        <[Session]>::new_box_zeroed_with_elems(SLOTS_PER_CHUNK as usize).map_err(|_| Full)?;
    // Leaked on purpose: references to slots are handed to other threads and never move.
    Ok(Box::leak(slots))
}

/// A new chunk on its way to the worker that will own it.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    slots: &'static [Session],
    first: u32,
    /// Slots before this one are retired.
    claimed_from: u32,
    ended: &'static Ended,
}

/// One worker's share of the ledger. Only that worker's thread touches it.
#[derive(Debug)]
pub struct Share {
    free: Vec<Place>,
    settled: VecDeque<(Place, Use)>,
    /// Slots before this one are retired.
    claimed_from: u32,
    /// Attempts that hold a slot: refused before they were given a permit.
    attempts: usize,
    attempts_max: usize,
    /// The ledger's; there is none before the first chunk.
    ended: Option<&'static Ended>,
}

/// A slot and its index in the ledger.
type Place = (&'static Session, u32);

/// What a slot was claimed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Session,
    Attempt,
    /// The rest of the text of either.
    Rest,
}

impl Default for Share {
    fn default() -> Self {
        Self::new()
    }
}

impl Share {
    /// A share without slots.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            free: Vec::new(),
            settled: VecDeque::new(),
            claimed_from: 0,
            attempts: 0,
            attempts_max: usize::MAX,
            ended: None,
        }
    }

    /// The same in which attempts that were never given a permit hold at most `attempts_max` slots:
    /// a flood of them must leave room for those who are let in.
    #[must_use]
    pub const fn with_attempts_max(mut self, attempts_max: usize) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// Takes over a chunk, and gives up the slots that are retired with it.
    pub fn add(&mut self, chunk: Chunk) {
        self.ended = Some(chunk.ended);
        if chunk.claimed_from > self.claimed_from {
            self.claimed_from = chunk.claimed_from;
            self.free.retain(|(_, index)| *index >= chunk.claimed_from);
        }
        self.free.reserve(chunk.slots.len());
        // Reversed, so that the lowest slots are used first and the rest stays untouched memory.
        for (slot, index) in
            chunk.slots.iter().zip(chunk.first..chunk.first + SLOTS_PER_CHUNK).rev()
        {
            self.free.push((slot, index));
        }
    }

    /// How many slots can be claimed at once; those which the writer has freed but which were not
    /// taken back yet do not count.
    #[must_use]
    pub fn free_len(&self) -> usize {
        self.free.len()
    }

    /// Claims a slot and opens a session in it; `None` when no slot is left, or none for attempts.
    pub fn open(&mut self, opening: &Opening<'_>) -> Option<SessionSlot> {
        self.take_back(TAKEN_BACK_PER_CLAIM);
        let attempt = !opening.accepted;
        if attempt && self.attempts >= self.attempts_max {
            return None;
        }
        let continued = needs_continuation(opening);
        if continued && self.free.len() < 2 {
            self.take_back(usize::MAX);
        }
        let (session, index) = self.free.pop()?;
        let rest = if continued { self.free.pop() } else { None };
        self.attempts += usize::from(attempt);
        let reference = session.open(opening, rest);
        let used = if attempt { Use::Attempt } else { Use::Session };
        Some(SessionSlot { reference, index, used, rest })
    }

    /// Ends a session; afterwards its reference may be sent to the writer.
    pub fn settle(&mut self, slot: SessionSlot, ending: &Ending, now_ms: i64) -> SessionRef {
        slot.reference.settle(ending, now_ms);
        if let Some(ended) = self.ended {
            ended.insert(slot.reference.session.last_id(), slot.reference);
        }
        if let Some(rest) = slot.rest {
            self.settled.push_back((rest, Use::Rest));
        }
        self.settled.push_back(((slot.reference.session, slot.index), slot.used));
        slot.reference
    }

    fn take_back(&mut self, most: usize) {
        for _ in 0..most {
            match self.settled.front() {
                Some(((session, _), _)) if session.is_free() => {}
                Some(_) | None => return,
            }
            if let Some((place, used)) = self.settled.pop_front() {
                if let (Some(ended), Use::Session | Use::Attempt) = (self.ended, used) {
                    ended.remove(place.0.last_id());
                }
                self.attempts -= usize::from(used == Use::Attempt);
                if place.1 >= self.claimed_from {
                    self.free.push(place);
                }
            }
        }
    }

    /// Takes back some of what the writer has freed, if nothing else is left: without it only the next
    /// claim would, and until then it looks as if there were no slot.
    pub fn refill(&mut self) {
        if self.free.is_empty() {
            self.take_back(TAKEN_BACK_PER_REFILL);
        }
    }
}

/// A claimed slot: the worker's right to write the session and to end it. Not copyable, so a
/// session is settled once.
#[derive(Debug)]
pub struct SessionSlot {
    reference: SessionRef,
    index: u32,
    used: Use,
    rest: Option<Place>,
}

impl SessionSlot {
    /// The reference to publish through and to hand to readers.
    #[must_use]
    pub const fn reference(&self) -> SessionRef {
        self.reference
    }

    /// The session's id, which is in the slot and need not be kept beside it.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.reference.session.last_id()
    }

    /// What the rules have said since it was opened, in a policy of this generation; to be told once.
    pub fn set_ruling(&self, ruling: &Ruling, generation: u64) {
        let rest = self.rest.map(|(session, _)| session);
        self.reference.set_ruling(rest, ruling, generation);
    }
}

/// Slots that are added at a time: 8 MiB.
pub const SLOTS_PER_CHUNK: u32 = 16_384;
/// Freed slots that a claim takes back at most, so that no claim pays for many.
const TAKEN_BACK_PER_CLAIM: usize = 4;
/// The same of a refill.
const TAKEN_BACK_PER_REFILL: usize = 64;
/// Inspections for which it is said that a file was removed, though nothing is at risk any more: what is
/// over at once nobody hears of.
const WANING_INSPECTIONS: u32 = 10;
/// Tries to copy a session; one fails when it is settled under the copy.
const COPIES_MAX: usize = 4;

#[cfg(test)]
mod tests;

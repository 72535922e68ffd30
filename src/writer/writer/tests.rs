use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::*;
use crate::key::Key;
use crate::session::{
    Ending, IdSource, Journal, Opening, Outcome, SessionRef, SessionSlot, Share, Traffic, journal,
};
use crate::stats::Minute;
use crate::writer::Cleaned;

/// A place that keeps rows as long as it is well.
#[derive(Default)]
struct Shelf {
    ill: Option<&'static str>,
    commits: Vec<Vec<Change>>,
    minutes: Vec<Minute>,
    /// Before which minutes were to go, latest.
    minutes_before_ms: i64,
    /// It keeps rows, but no minutes.
    refuses_minutes: bool,
    minutes_refused: u64,
    tries: u64,
    probes: u64,
}

struct Keeper(Arc<Mutex<Shelf>>);

impl Keeper {
    fn answer(&self) -> Result<(), KeepError> {
        self.0.lock().ill.map_or(Ok(()), |why| Err(KeepError(why.to_owned())))
    }
}

impl Keep for Keeper {
    fn commit(&mut self, rows: &[Change]) -> Result<(), KeepError> {
        self.0.lock().tries += 1;
        self.answer()?;
        self.0.lock().commits.push(rows.to_vec());
        Ok(())
    }

    fn probe(&mut self) -> Result<(), KeepError> {
        self.0.lock().probes += 1;
        self.answer()
    }

    fn tend(&mut self, _now: Instant) -> Result<Tended, KeepError> {
        self.answer().map(|()| Tended::default())
    }

    fn clean_up(&mut self, _now_ms: i64) -> Result<Cleaned, KeepError> {
        Ok(Cleaned::default())
    }

    fn keep_minutes(&mut self, minutes: &[Minute], before_ms: i64) -> Result<(), KeepError> {
        self.answer()?;
        let mut shelf = self.0.lock();
        shelf.minutes_before_ms = shelf.minutes_before_ms.max(before_ms);
        if shelf.refuses_minutes {
            shelf.minutes_refused += 1;
            return Err(KeepError("no such table".to_owned()));
        }
        shelf.minutes.extend(minutes);
        Ok(())
    }

    fn close(&mut self) {}
}

/// A writer at work, and a worker to feed it.
struct Scene {
    shelf: Arc<Mutex<Shelf>>,
    gauges: Arc<WriterGauges>,
    minutes: Arc<Minutes>,
    table: Arc<Table>,
    ledger: Arc<Ledger>,
    journal: Journal,
    share: Share,
    ids: IdSource,
    thread: JoinHandle<u64>,
}

impl Scene {
    fn new(options: Options) -> Self {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let (gauges, table) = (Arc::new(WriterGauges::default()), Arc::new(Table::new(1)));
        let minutes = Arc::new(Minutes::new(1).to_be_saved());
        let ledger = Arc::new(Ledger::new(1));
        let mut share = Share::new();
        share.add(ledger.grow().unwrap());
        let (journal, receiver) = journal(CHANNEL);
        let writer = Writer::new(Parts {
            receiver,
            ledger: Arc::clone(&ledger),
            table: Arc::clone(&table),
            keep: Some(Box::new(Keeper(Arc::clone(&shelf)))),
            ring: None,
            minutes: Arc::clone(&minutes),
            users: Arc::new(UserSums::new(1)),
            windows: Arc::new(Windows::new(1, 1)),
            gauges: Arc::clone(&gauges),
            witness: Witness::default(),
            options,
        });
        let thread = thread::spawn(move || writer.run());
        let ids = IdSource::new();
        Self { shelf, gauges, minutes, table, ledger, journal, share, ids, thread }
    }

    fn open(&mut self) -> SessionSlot {
        let opening = Opening { user: "u", ..Opening::plain(self.ids.next(0)) };
        let slot = self.share.open(&opening).unwrap();
        let key = Key { slot: 0, generation: 0 };
        self.table.insert(0, opening.id, slot.reference(), key);
        self.journal.opened(slot.reference());
        slot
    }

    fn end(&mut self, slot: SessionSlot) -> SessionRef {
        self.table.remove(0, slot.reference().id().unwrap());
        let ending = Ending { outcome: Outcome::ClientClosed, relayed: true, duration_ms: 1 };
        let ended = self.share.settle(slot, &ending, 1);
        self.journal.closed(ended);
        ended
    }

    fn fall_ill(&self, why: Option<&'static str>) {
        self.shelf.lock().ill = why;
    }

    /// Of all committed rows, how many were of endings.
    fn endings(&self) -> usize {
        let shelf = self.shelf.lock();
        shelf.commits.iter().flatten().filter(|row| row.session.ending.is_some()).count()
    }

    fn finish(self) -> u64 {
        drop(self.journal);
        self.thread.join().unwrap()
    }
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = clock::mono() + Duration::from_secs(20);
    while !condition() {
        assert!(clock::mono() < until, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn options() -> Options {
    Options {
        batch_size: 1,
        batch_interval: Duration::from_millis(1),
        checkpoint_interval: HOUR,
        cleanup_interval: HOUR,
        stop_patience: Duration::from_millis(50),
    }
}

const HOUR: Duration = Duration::from_hours(1);
const CHANNEL: usize = 64;

#[test]
fn endings_wait_for_as_long_as_rows_cannot_be_stored_and_keep_their_slots() {
    let mut scene = Scene::new(options());
    scene.fall_ill(Some("locked"));
    let mut ended = Vec::new();
    // Far more than the channel holds.
    for _ in 0..10 * CHANNEL {
        let slot = scene.open();
        ended.push(scene.end(slot));
        scene.journal.flush();
    }
    wait_for("all to be taken in", || {
        scene.journal.flush();
        scene.journal.backlog_len() == 0 && scene.journal.queue_len() == 0
    });
    wait_for("trouble", || scene.gauges.trouble().as_deref() == Some("locked"));
    assert!(ended.iter().all(|session| session.is_current()));
    scene.fall_ill(None);
    wait_for("the rows", || scene.endings() == ended.len());
    wait_for("the slots", || !ended.iter().any(|session| session.is_current()));
    assert_eq!((scene.gauges.trouble(), scene.finish()), (None, 0));
}

#[test]
fn nothing_is_freed_and_nothing_added_up_before_its_commit() {
    let mut scene = Scene::new(options());
    scene.fall_ill(Some("full"));
    let slot = scene.open();
    let ended = scene.end(slot);
    wait_for("tries", || scene.shelf.lock().tries > 1);
    assert!(ended.is_current());
    assert_eq!((scene.gauges.rows.get(), scene.gauges.last_commit_ms()), (0, None));
    // Stopped like this it has lost what the ledger still holds, and says how much.
    let ledger = Arc::clone(&scene.ledger);
    assert_eq!(scene.finish(), 1);
    assert_eq!(ledger.held(), 1);
}

#[test]
fn health_comes_back_without_a_row_to_try_it_with() {
    let scene = Scene::new(Options { batch_interval: Duration::from_secs(1), ..options() });
    scene.fall_ill(Some("deleted"));
    wait_for("trouble", || scene.gauges.trouble().is_some());
    wait_for("a probe", || scene.shelf.lock().probes > 0);
    scene.fall_ill(None);
    wait_for("health", || scene.gauges.trouble().is_none());
    assert_eq!(scene.finish(), 0);
}

#[test]
fn long_sessions_are_checkpointed_when_they_have_moved_and_not_otherwise() {
    let interval = Duration::from_millis(20);
    let mut scene = Scene::new(Options { checkpoint_interval: interval, ..options() });
    let slot = scene.open();
    let traffic = |bytes_sent| Traffic { bytes_sent, ..Traffic::default() };
    let written = |scene: &Scene| -> Vec<u64> {
        let shelf = scene.shelf.lock();
        shelf.commits.iter().flatten().map(|row| row.session.traffic.bytes_sent).collect()
    };
    wait_for("the opening", || written(&scene) == [0]);
    slot.reference().publish(traffic(7), 1);
    wait_for("a checkpoint", || written(&scene) == [0, 7]);
    slot.reference().publish(traffic(9), 1);
    wait_for("another", || written(&scene) == [0, 7, 9]);
    scene.end(slot);
    wait_for("the ending", || written(&scene) == [0, 7, 9, 9]);
    let befores: Vec<_> = {
        let shelf = scene.shelf.lock();
        shelf.commits.iter().flatten().map(|row| row.before.map(|it| it.bytes_sent)).collect()
    };
    assert_eq!(befores, [None, Some(0), Some(7), Some(9)]);
    assert_eq!(scene.finish(), 0);
}

#[test]
fn checkpoints_are_skipped_while_endings_cannot_be_stored_and_counted() {
    let interval = Duration::from_millis(1);
    let mut scene = Scene::new(Options { checkpoint_interval: interval, ..options() });
    scene.fall_ill(Some("slow"));
    for _ in 0..CHANNEL {
        let slot = scene.open();
        scene.end(slot);
        scene.journal.flush();
    }
    let live = scene.open();
    wait_for("skipped ones", || scene.gauges.checkpoints_skipped.get() > 3);
    scene.fall_ill(None);
    wait_for("all endings", || {
        scene.journal.flush();
        scene.endings() == CHANNEL
    });
    scene.end(live);
    assert_eq!(scene.finish(), 0);
}

#[test]
fn minutes_that_are_refused_hold_up_no_row_and_are_stored_at_the_end() {
    let mut scene = Scene::new(options());
    let shelf = Arc::clone(&scene.shelf);
    shelf.lock().refuses_minutes = true;
    let minute = |number: i64| Minute { start_ms: number * 60_000, ..Minute::default() };
    scene.minutes.push(minute(1));
    wait_for("a refusal", || shelf.lock().minutes_refused > 0);
    scene.minutes.push(minute(2));
    for done in 1..=CHANNEL {
        let slot = scene.open();
        scene.end(slot);
        wait_for("its row", || scene.endings() == done);
    }
    assert_eq!((shelf.lock().minutes_refused, scene.gauges.trouble()), (1, None));
    shelf.lock().refuses_minutes = false;
    assert_eq!(scene.finish(), 0);
    assert_eq!(shelf.lock().minutes, [minute(1), minute(2)]);
}

/// A clock that is set far ahead ends a minute there; those of before stay.
#[test]
fn a_minute_of_the_future_makes_no_other_old() {
    let scene = Scene::new(options());
    let shelf = Arc::clone(&scene.shelf);
    let now_ms = clock::utc_ms();
    let start_ms = (now_ms / 60_000 + 1_000_000) * 60_000;
    scene.minutes.push(Minute { start_ms, ..Minute::default() });
    wait_for("the minute", || !shelf.lock().minutes.is_empty());
    let before_ms = shelf.lock().minutes_before_ms;
    assert!(before_ms > 0 && before_ms < now_ms, "{before_ms}");
    assert_eq!(scene.finish(), 0);
}

//! The windows of what started before this process: loaded from one snapshot of the table, beside
//! everything else. Nobody waits for it.

use std::sync::Arc;
use std::time::Instant;

use super::start::{Failure, Shared};
use crate::clock;
use crate::linux::calls::Duty;
use crate::stats::{Readiness, Stage, Windows};
use crate::store::{Location, Snapshot, StoreError};

/// Starts the thread that loads. What is answered is to be called when the rows of predecessors are
/// settled, and before the first row of this process; dropped uncalled it ends the thread.
pub(super) fn rebuild(
    location: &Location,
    shared: &Shared,
) -> Result<impl FnOnce() + Send + 'static, Failure> {
    let (taken, snapshots) = crossbeam_channel::bounded(1);
    let (windows, readiness) = (Arc::clone(&shared.windows), Arc::clone(&shared.readiness));
    windows.begin_loading();
    shared.sandbox.spawn("rebuild", Duty::Writer, move || {
        let Ok((snapshot, began)) = snapshots.recv() else { return };
        if let Err(error) = load(snapshot, began, &windows, readiness) {
            tracing::error!("statistics of before the start are incomplete: {error}");
        }
    })?;
    let (windows, location) = (Arc::clone(&shared.windows), location.clone());
    Ok(move || match Snapshot::take(&location) {
        Ok(snapshot) => {
            windows.snapshot_taken(clock::utc_ms());
            if taken.send((snapshot, clock::mono())).is_err() {
                tracing::error!("statistics of before the start are missing: nobody loads them");
            }
        }
        Err(error) => {
            tracing::error!("statistics of before the start are missing: {error}");
        }
    })
}

fn load(
    snapshot: Snapshot,
    began: Instant,
    windows: &Windows,
    readiness: Arc<Readiness>,
) -> Result<(), StoreError> {
    // A snapshot that is held keeps the log from being cleared at the end.
    let stop = move || readiness.stage() == Stage::Draining;
    if let Some(rows) = snapshot.load(windows.reach_ms(clock::utc_ms()), windows, stop)? {
        let took = clock::mono().saturating_duration_since(began);
        tracing::info!("statistics are complete: {rows} rows of the past in {took:.1?}");
    }
    Ok(())
}

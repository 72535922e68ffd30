//! TEMPORARY
use super::start::{Failure, Shared, spawn};
use crate::config::Settings;
use crate::session::Entry;
use crossbeam_channel::Receiver;
pub(super) struct Storage;
pub(super) struct Writing(std::thread::JoinHandle<()>);
impl Storage {
    pub(super) fn open(_s: &Settings) -> Result<Self, Failure> {
        Ok(Self)
    }
    pub(super) fn start_writer(
        self,
        _s: &Settings,
        shared: &Shared,
        entries: Receiver<Entry>,
    ) -> Result<Writing, Failure> {
        let ledger = shared.ledger.clone();
        Ok(Writing(spawn("writer", move || {
            for e in entries {
                if e.kind == crate::session::Kind::Closed {
                    tracing::info!("{:?}", ledger.view(e.session));
                    ledger.free(e.session)
                }
            }
        })?))
    }
}
impl Writing {
    pub(super) fn finish(self) -> Result<(), Failure> {
        drop(self.0.join());
        Ok(())
    }
}

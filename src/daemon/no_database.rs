//! In the place of `claim.rs` in a build without the feature `database`: a configuration that asks for
//! one is refused.

use super::start::{Failure, Shared};
use super::storage::Storage;
use crate::config::Settings;
use crate::session::Ledger;

/// There is none.
pub(super) enum Claim {}

impl Claim {
    pub(super) fn take(
        _settings: &Settings,
        _ledger: Ledger,
        _stopped: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Self, Ledger)>, Failure> {
        let text =
            "sessions.storage = \"sqlite\": this binary was built without the feature database";
        Err(Failure::Configuration(text.to_owned()))
    }

    pub(super) fn look(_settings: &Settings) -> Result<(), Failure> {
        Ok(())
    }

    pub(super) fn holder(_settings: &Settings) -> Option<String> {
        None
    }

    pub(super) fn open(self, _settings: &Settings, _shared: &Shared) -> Result<Storage, Failure> {
        match self {}
    }
}

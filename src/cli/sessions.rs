//! `rustsocks sessions …`

mod export;

use clap::Subcommand;

use super::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Sessions {
    /// Write recorded sessions as CSV or JSON lines
    Export(export::Export),
}

impl Sessions {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Export(export) => export.export(),
        }
    }
}

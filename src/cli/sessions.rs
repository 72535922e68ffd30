//! `rustsocks sessions …`: live ones from the running proxy, recorded ones from the database.

#[cfg(feature = "database")]
mod export;
mod list;
mod show;
mod terminate;
mod which;

use clap::Subcommand;

use super::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum Sessions {
    /// List live sessions
    List(list::List),
    /// Show one session, live or ended
    Show(show::Show),
    /// End live sessions
    Terminate(terminate::Terminate),
    /// Write recorded sessions as CSV or JSON lines
    #[cfg(feature = "database")]
    Export(export::Export),
}

impl Sessions {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.list(),
            Self::Show(show) => show.show(),
            Self::Terminate(terminate) => terminate.terminate(),
            #[cfg(feature = "database")]
            Self::Export(export) => export.export(),
        }
    }
}

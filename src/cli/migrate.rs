//! `rustsocks migrate`

use clap::Args;

use super::database::Database;
use super::failure::{Failure, print};
use crate::store;

/// Bring the database's schema up to date
///
/// A start does the same. It wants the database for itself: a proxy that runs is named, and nothing is done.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Migrate {
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    pub(super) fn migrate(self) -> Result<(), Failure> {
        let url = self.database.url()?;
        let version = store::migrate(&url)?;
        print(&format!("{url}: schema version {version}\n"))
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks migrate --config /etc/rustsocks/rustsocks.toml
  rustsocks migrate --database-url sqlite://data/sessions.db";

//! `rustsocks migrate`

use clap::Args;

use super::database::Database;
use super::failure::{Failure, print};
use crate::store;

#[derive(Debug, Args)]
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

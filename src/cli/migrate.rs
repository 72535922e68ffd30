//! `rustsocks migrate`

use std::path::PathBuf;

use clap::Args;

use super::failure::{Failure, print};
use crate::config::Settings;
use crate::store;

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// The database, such as sqlite://data/sessions.db; else the configured one
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Migrate {
    pub(super) fn migrate(self) -> Result<(), Failure> {
        let url = match self.database_url {
            Some(url) => url,
            None => Settings::load(self.config.as_deref())?.0.sessions.database_url,
        };
        let version = store::migrate(&url).map_err(|error| Failure::Other(error.to_string()))?;
        print(&format!("{url}: schema version {version}\n"))
    }
}

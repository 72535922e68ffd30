//! Which database a command is about.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::config::{Settings, Storage};
use crate::store::Location;

#[derive(Debug, Args)]
pub(super) struct Database {
    /// The database, such as sqlite://data/sessions.db; else the configured one
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    database_url: Option<String>,
    /// Configuration file (TOML) that names the database
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Database {
    /// Its URL.
    pub(super) fn url(&self) -> Result<String, Failure> {
        if let Some(url) = &self.database_url {
            return Ok(url.clone());
        }
        let sessions = Settings::load(self.config.as_deref())?.0.sessions;
        if !sessions.enabled || sessions.storage == Storage::Memory {
            let text = "the configuration has no database: sessions are not recorded in one";
            return Err(Failure::Other(text.to_owned()));
        }
        Ok(sessions.database_url)
    }

    /// Where it is.
    pub(super) fn location(&self) -> Result<Location, Failure> {
        Ok(Location::parse(&self.url()?)?)
    }
}

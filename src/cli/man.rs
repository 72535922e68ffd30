//! `rustsocks man`

use std::io;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::failure::{Failure, print};

/// Print the manual page, or write one for each command
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Manual {
    /// Write all pages into this directory, which is made if it is missing
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Manual {
    pub(super) fn write(self, mut line: clap::Command) -> Result<(), Failure> {
        let Some(directory) = self.directory else {
            let mut page = Vec::new();
            Man::new(line).render(&mut page).map_err(|error| Failure::Other(error.to_string()))?;
            return print(&String::from_utf8_lossy(&page));
        };
        let failure =
            |error: io::Error| Failure::File { path: directory.display().to_string(), error };
        std::fs::create_dir_all(&directory).map_err(failure)?;
        // So that the pages of commands have their whole name: rustsocks-sessions-list(1).
        line.build();
        clap_mangen::generate_to(line, &directory).map_err(failure)
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks man | man -l -
  rustsocks man --directory /usr/local/share/man/man1";

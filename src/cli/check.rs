//! `rustsocks check`

use std::io::{self, Write};
use std::path::Path;

use super::failure::{Failure, print};
use crate::config::Settings;

pub(super) fn check(config: Option<&Path>) -> Result<(), Failure> {
    let (settings, warnings) = Settings::load(config)?;
    settings.load_rules()?;
    for warning in &warnings {
        writeln!(io::stderr().lock(), "rustsocks: warning: {warning}")
            .map_err(|error| Failure::Other(format!("cannot write to stderr: {error}")))?;
    }
    let what = config.map_or("the defaults".to_owned(), |path| path.display().to_string());
    print(&format!("{what}: ok\n"))
}

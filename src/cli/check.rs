//! `rustsocks check`

use std::path::Path;

use super::failure::{Failure, print, warn};
use crate::config::Settings;
use crate::daemon::{Finding, inspect};

pub(super) fn check(config: Option<&Path>) -> Result<(), Failure> {
    let (settings, warnings) = Settings::load(config)?;
    let rules = settings.load_rules()?;
    settings.open_nothing(&settings.server.listen, rules.as_deref())?;
    warn(&warnings)?;
    warn(&settings.doubts(rules.as_deref()))?;
    let mut bad = None;
    for finding in inspect(&settings, config) {
        match finding {
            Finding::Fine(line) => print(&format!("{line}\n"))?,
            Finding::Poor(line) => print(&format!("warning: {line}\n"))?,
            // The first one decides about the exit status, and is the last line.
            Finding::Bad(failure) => match &bad {
                None => bad = Some(failure),
                Some(_) => print(&format!("error: {failure}\n"))?,
            },
        }
    }
    if let Some(failure) = bad {
        return Err(failure.into());
    }
    let what = config.map_or("the defaults".to_owned(), |path| path.display().to_string());
    print(&format!("{what}: ok\n"))
}

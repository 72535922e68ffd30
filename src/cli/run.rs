//! `rustsocks run`

use std::path::Path;

use super::failure::Failure;
use super::{logging, panics};
use crate::config::Settings;
use crate::daemon;

pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let (settings, warnings) = Settings::load(config)?;
    logging::start(&settings.logging);
    panics::log();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let rules = settings.load_rules()?;
    settings.open_nothing(&settings.server.listen, rules.as_deref())?;
    for doubt in settings.doubts(rules.as_deref()) {
        tracing::warn!("{doubt}");
    }
    Ok(daemon::run(config, &settings, rules)?)
}

//! Logs to stderr: text, coloured on a terminal, or one JSON object a line.
//!
//! What a client chose (a user, a target) reaches a log only as a field or inside `{:?}`, which
//! escapes control characters; secrets have no text form at all.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::LoggingSettings;

/// What others say of what we say ourselves; of JSON it makes fields that are nobody's.
const OTHERS: &str = "rusqlite_migration=warn";

/// Sends what the process has to say to stderr from here on. `RUST_LOG` wins over the file.
pub(super) fn start(settings: &LoggingSettings) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{},{OTHERS}", settings.level.as_str())));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let started = if settings.json { logs.json().try_init() } else { logs.try_init() };
    // Only a second call in one process fails, and the first one then stands.
    drop(started);
}

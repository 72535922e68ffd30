//! `[logging]`.

use super::choice::{Format, Level};
use super::error::ConfigError;
use super::file::File;
use super::source::Source;
use crate::access_log;

/// `[logging]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggingSettings {
    /// The least important events that are logged.
    pub level: Level,
    /// JSON lines instead of text.
    pub json: bool,
    /// A line for each session that has ended; `None` for no such lines.
    pub access_log: Option<AccessLogSettings>,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLogSettings {
    /// Where the lines go.
    pub place: access_log::Place,
    /// What they look like.
    pub format: access_log::Format,
}

pub(super) fn logging(source: &Source<'_>, file: &File) -> Result<LoggingSettings, ConfigError> {
    let logging = &file.logging;
    // It is read also where nothing is written, so that a mistake does not wait for its day.
    let format =
        access_log::Format::parse(logging.access_log_format.get_ref()).map_err(|error| {
            let message = format!("got {error}");
            source.error(logging.access_log_format.span(), "logging.access_log_format", &message)
        })?;
    let place = logging.access_log.get_ref();
    if !place.is_empty() && !file.sessions.enabled {
        let message = "got a place, expected none, because `sessions.enabled` is false: nothing is \
                       told of single sessions";
        return Err(source.error(logging.access_log.span(), "logging.access_log", message));
    }
    Ok(LoggingSettings {
        level: logging.level,
        json: logging.format == Format::Json,
        access_log: (!place.is_empty())
            .then(|| AccessLogSettings { place: access_log::Place::parse(place), format }),
    })
}

//! `rustsocks cleanup`

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::failure::{Failure, print};
use super::progress::Progress;
use crate::clock;
use crate::config::{Settings, Storage};
use crate::store::{self, Location};

/// Delete old sessions from the database, also while the proxy writes it
///
/// The proxy does this by itself (sessions.retention_days); by hand it is for making room at once, or
/// where the proxy does not run. Sessions that are alive stay, whatever their age. The proxy goes on
/// meanwhile: rows go a few at a time, and their room is given back to the file system.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Cleanup {
    /// Sessions that began more than so many days ago; else sessions.retention_days
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=36_500))]
    older_than: Option<u32>,
    /// Only say how many there are, and whether a proxy is in the way
    #[arg(long)]
    dry_run: bool,
    /// The database, such as sqlite://data/sessions.db; else the configured one
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Cleanup {
    pub(super) fn clean_up(self) -> Result<(), Failure> {
        let sessions = Settings::load(self.config.as_deref())?.0.sessions;
        let url = match self.database_url {
            Some(url) => url,
            None if sessions.enabled && sessions.storage == Storage::Sqlite => {
                sessions.database_url
            }
            None => {
                let text = "the configuration has no database: sessions are not recorded in one";
                return Err(Failure::Other(text.to_owned()));
            }
        };
        let days = match self.older_than {
            Some(days) => days,
            None if sessions.retention_days > 0 => sessions.retention_days,
            None => {
                let text = "sessions.retention_days is 0, for ever: say --older-than DAYS";
                return Err(Failure::Usage(text.to_owned()));
            }
        };
        let location = Location::parse(&url)?;
        let before_ms = clock::utc_ms() - i64::from(days) * DAY_MS;
        let mut cleanup = store::Cleanup::before(&location, before_ms)?;
        let old = cleanup.count()?;
        // The windows of a proxy that runs say what the table says: neither may lose a row that the
        // other has. So for young rows there must be no proxy, and none may start.
        let young = days * 24 <= sessions.window_max_hours;
        if self.dry_run {
            let told =
                format!("{url}: {old} sessions are older than {days} days and would be deleted\n");
            return print(&match (location.holder(), young) {
                (None, _) => told,
                (Some(process), false) => {
                    format!(
                        "{told}a proxy runs on it, as process {process}, and would go on meanwhile\n"
                    )
                }
                (Some(process), true) => format!(
                    "{told}but a proxy runs on it, as process {process}, and must be stopped first: its \
                     statistics reach back {} hours (sessions.stats_window_max_hours)\n",
                    sessions.window_max_hours
                ),
            });
        }
        let _lock = if young {
            Some(location.lock(Duration::ZERO).map_err(|error| {
                Failure::Usage(format!(
                    "--older-than {days}: statistics reach back {} hours \
                     (sessions.stats_window_max_hours), so the proxy must not run meanwhile: {error}",
                    sessions.window_max_hours
                ))
            })?)
        } else {
            None
        };
        let mut progress = Progress::new(false);
        let deleted = cleanup.run(|deleted| {
            #[expect(clippy::cast_precision_loss, reason = "a share is shown in whole per cent")]
            let share = deleted as f64 / old.max(1) as f64;
            progress.show(share, format_args!("{deleted} of {old} sessions"));
        })?;
        drop(progress);
        print(&format!("{url}: {deleted} sessions older than {days} days were deleted\n"))
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3_600_000;

const EXAMPLES: &str = "\
Examples:
  rustsocks cleanup --config /etc/rustsocks/rustsocks.toml --dry-run
  rustsocks cleanup --config /etc/rustsocks/rustsocks.toml --older-than 30";

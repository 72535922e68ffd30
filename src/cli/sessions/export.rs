//! `rustsocks sessions export`

mod format;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use self::format::{Format, Lines};
use crate::cli::api::printable;
use crate::cli::database::Database;
use crate::cli::failure::Failure;
use crate::cli::new_file::NewFile;
use crate::cli::progress::Progress;
use crate::clock;
use crate::store;

/// Write recorded sessions as CSV or JSON lines
///
/// Reads the database file, so the proxy may run or not. Live sessions are there with
/// the figures of their last checkpoint. Rows come in the order in which they were recorded, or, with
/// --since or --until and without --user, in the order of their start.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Export {
    /// How rows are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only sessions that started then or later: RFC 3339 or a date (midnight UTC)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only sessions that started before: RFC 3339 or a date (midnight UTC)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Only sessions of this user
    #[arg(long)]
    user: Option<String>,
    /// Only these columns, in this order
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Write into this file, and not to stdout; only its owner may read it
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    database: Database,
}

impl Export {
    pub(in crate::cli) fn export(self) -> Result<(), Failure> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && until <= since
        {
            return Err(Failure::Usage("--until must be later than --since".to_owned()));
        }
        let selection =
            store::Selection { user: self.user, since_ms: self.since, until_ms: self.until };
        let location = self.database.location()?;
        let export = store::Export::open(&location, selection, self.columns.as_deref())?;
        match self.output {
            None => {
                let stdout = io::stdout().lock();
                let terminal = stdout.is_terminal();
                let output = Output { to: stdout, terminal };
                match write(export, self.format, Progress::new(terminal), output) {
                    // Whoever read it has read enough.
                    Err(Stopped::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                        Ok(())
                    }
                    other => other.map_err(|stopped| stopped.at("stdout")),
                }
            }
            Some(path) => {
                let (new, file) = NewFile::begin(&path, self.force, location.path())?;
                let output = Output { to: file, terminal: false };
                write(export, self.format, Progress::new(false), output)
                    .map_err(|stopped| stopped.at(&path.display().to_string()))?;
                new.finish()
            }
        }
    }
}

/// Why it ended early.
enum Stopped {
    Database(store::StoreError),
    Output(io::Error),
}

impl Stopped {
    fn at(self, path: &str) -> Failure {
        match self {
            Self::Database(error) => error.into(),
            Self::Output(error) => Failure::File { path: path.to_owned(), error },
        }
    }
}

/// Where lines go.
struct Output<W> {
    to: W,
    terminal: bool,
}

impl<W: Write> Output<W> {
    /// As they are, but for what would steer a terminal: CSV has names as clients chose them.
    fn write(&mut self, lines: Vec<u8>) -> io::Result<()> {
        if !self.terminal {
            return self.to.write_all(&lines);
        }
        let text = String::from_utf8_lossy(&lines);
        for line in text.split_inclusive('\n') {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            self.to.write_all(printable(line).as_bytes())?;
            self.to.write_all(end.as_bytes())?;
        }
        Ok(())
    }
}

/// A slice is read, then written: while the output waits, nothing is read.
fn write(
    mut export: store::Export,
    format: Format,
    mut progress: Progress,
    mut output: Output<impl Write>,
) -> Result<(), Stopped> {
    let mut lines = Lines::new(format, export.columns());
    let mut rows = 0;
    loop {
        output.write(lines.take()).map_err(Stopped::Output)?;
        let taken = export.advance(|cells| lines.push(cells)).map_err(Stopped::Database)?;
        if taken == 0 {
            return output.to.flush().map_err(Stopped::Output);
        }
        rows += taken;
        progress.show(export.share_done(), format_args!("{rows} sessions"));
    }
}

fn moment(text: &str) -> Result<i64, String> {
    clock::moment(text).ok_or_else(|| {
        "expected a date (2026-01-31) or a time of RFC 3339 (2026-01-31T08:00:00Z)".to_owned()
    })
}

const EXAMPLES: &str = "\
Examples:
  rustsocks sessions export > sessions.csv
  rustsocks sessions export --since 2026-01-01 --until 2026-02-01 --output january.csv
  rustsocks sessions export --format ndjson --user alice | jq .bytes_sent
  rustsocks sessions export --columns user,dest_ip,dest_port,bytes_sent,bytes_received";

//! `rustsocks sessions terminate`

use clap::Args;

use super::which::{Which, id};
use crate::cli::api::Reach;
use crate::cli::failure::{Failure, print};

/// End live sessions at once: one by its id, or all that pass
///
/// Asks the running proxy. Both sides of a session are reset, and its record says who asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Terminate {
    /// The session; or say by --user, --dest and --source which sessions
    #[arg(value_name = "ID", value_parser = id, conflicts_with = "Which")]
    id: Option<uuid::Uuid>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
}

impl Terminate {
    pub(in crate::cli) fn terminate(self) -> Result<(), Failure> {
        if self.id.is_none() && self.which.is_empty() {
            let text = "say which sessions: an ID, or at least one of --user, --dest and --source";
            return Err(Failure::Usage(text.to_owned()));
        }
        let parameters = self.which.parameters();
        let api = self.reach.api()?;
        let path = match self.id {
            Some(id) => format!("/api/sessions/{id}/terminate"),
            None => "/api/sessions/terminate".to_owned(),
        };
        let answer = api.post(&path, &parameters)?;
        let told = answer["told"].as_u64().unwrap_or(0);
        let sessions = if told == 1 { "session" } else { "sessions" };
        print(&format!("{told} {sessions} told to end\n"))
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks sessions terminate 019b76f2-0c48-7130-b5fb-a7cde3f0f849
  rustsocks sessions terminate --user alice
  rustsocks sessions terminate --dest example.com:443 --source 192.0.2.7";

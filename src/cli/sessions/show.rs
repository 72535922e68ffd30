//! `rustsocks sessions show`

use clap::Args;
use serde_json::Value;

use super::which::id;
use crate::cli::api::{Reach, harmless, printable};
use crate::cli::failure::{Failure, print};

/// Show one session, live or ended
///
/// Asks the running proxy. What is not known of the session is left out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Show {
    /// The session
    #[arg(value_name = "ID", value_parser = id)]
    id: uuid::Uuid,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Show {
    pub(in crate::cli) fn show(self) -> Result<(), Failure> {
        let session = self.reach.api()?.get(&format!("/api/sessions/{}", self.id), &[])?;
        if self.json {
            return print(&harmless(&format!("{session:#}\n")));
        }
        let mut text = String::new();
        for (name, value) in session.as_object().into_iter().flatten() {
            let value = match value {
                Value::Null => continue,
                Value::String(value) => printable(value),
                value
                @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                    value.to_string()
                }
            };
            text.push_str(&format!("{name:<21} {value}\n"));
        }
        print(&text)
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks sessions show 019b76f2-0c48-7130-b5fb-a7cde3f0f849
  rustsocks sessions show --json 019b76f2-0c48-7130-b5fb-a7cde3f0f849 | jq .close_code";

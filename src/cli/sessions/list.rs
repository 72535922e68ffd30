//! `rustsocks sessions list`

use std::num::NonZeroU32;

use clap::Args;
use serde_json::Value;

use super::which::Which;
use crate::cli::api::{Api, Reach, harmless, printable};
use crate::cli::failure::{Failure, print};

/// List live sessions, the latest first
///
/// Asks the running proxy. Ended ones are in the database: see `rustsocks sessions export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct List {
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value = "1000")]
    limit: NonZeroU32,
    /// Print JSON lines, with all that is known of each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
}

impl List {
    pub(in crate::cli) fn list(self) -> Result<(), Failure> {
        let api = self.reach.api()?;
        let mut pages = Pages { api, parameters: self.which.parameters(), cursor: None };
        let mut left = self.limit.get() as usize;
        // With the first page: where there is none, the complaint stands alone.
        let mut text = if self.json { String::new() } else { line(&HEADINGS.map(str::to_owned)) };
        loop {
            let page = pages.next(left)?;
            for session in &page {
                text.push_str(&if self.json {
                    harmless(&format!("{session}\n"))
                } else {
                    row(session)
                });
            }
            print(&text)?;
            text.clear();
            left -= page.len().min(left);
            if left == 0 || pages.cursor.is_none() {
                return Ok(());
            }
        }
    }
}

struct Pages {
    api: Api,
    parameters: Vec<(&'static str, String)>,
    cursor: Option<String>,
}

impl Pages {
    /// The next page, of at most so many sessions.
    fn next(&mut self, most: usize) -> Result<Vec<Value>, Failure> {
        let mut parameters = self.parameters.clone();
        parameters.push(("limit", most.min(PAGE).to_string()));
        parameters.extend(self.cursor.take().map(|cursor| ("cursor", cursor)));
        let mut answer = self.api.get("/api/sessions/active", &parameters)?;
        self.cursor = answer["next_cursor"].as_str().map(str::to_owned);
        match answer["data"].take() {
            Value::Array(sessions) => Ok(sessions),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                Err(Failure::Other("the answer has no sessions in it".to_owned()))
            }
        }
    }
}

fn row(session: &Value) -> String {
    let text = |name: &str| match &session[name] {
        Value::String(text) => printable(text),
        other @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)) => other.to_string(),
    };
    let endpoint = |host: &str, port: &str| {
        let host = text(host);
        // As it is written where a port follows (RFC 3986 §3.2.2).
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        format!("{host}:{}", text(port))
    };
    line(&[
        text("session_id"),
        text("start_time"),
        text("user"),
        endpoint("source_ip", "source_port"),
        endpoint("dest_ip", "dest_port"),
        text("bytes_sent"),
        text("bytes_received"),
    ])
}

fn line([id, since, user, source, target, sent, received]: &[String; 7]) -> String {
    let ends = format!("{source:<21}  {target:<32}  {sent:>12}  {received:>12}");
    format!("{id:<36}  {since:<24}  {user:<16}  {ends}\n")
}

const EXAMPLES: &str = "\
Examples:
  rustsocks sessions list
  rustsocks sessions list --config /etc/rustsocks/rustsocks.toml --user alice
  rustsocks sessions list --api 127.0.0.1:9191 --dest example.com:443
  rustsocks sessions list --json | jq -r .session_id";
const HEADINGS: [&str; 7] = ["SESSION", "SINCE", "USER", "SOURCE", "TARGET", "SENT", "RECEIVED"];
/// The longest page of the API.
const PAGE: usize = 1000;

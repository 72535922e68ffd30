//! Which live sessions are meant.

use std::net::IpAddr;

use clap::Args;
use uuid::Uuid;

/// Only sessions of which all of this is true.
#[derive(Debug, Args)]
#[group(required = false, multiple = true)]
pub(super) struct Which {
    /// Only sessions of this user
    #[arg(long)]
    user: Option<String>,
    /// Only sessions to this target: a name or an address, with a port or without
    #[arg(long, value_name = "HOST[:PORT]")]
    dest: Option<String>,
    /// Only sessions from this address
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
}

/// One session's id, as clap is to read it.
pub(super) fn id(text: &str) -> Result<Uuid, String> {
    let expected = "expected a session's id, a UUID such as 019b76f2-0c48-7130-b5fb-a7cde3f0f849, as \
                    `rustsocks sessions list` prints it";
    text.parse().map_err(|_| expected.to_owned())
}

impl Which {
    /// Whether it says nothing at all.
    pub(super) const fn is_empty(&self) -> bool {
        self.user.is_none() && self.dest.is_none() && self.source.is_none()
    }

    /// As parameters of the API.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        [
            ("user", self.user.clone()),
            ("dest", self.dest.clone()),
            ("source", self.source.map(|source| source.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

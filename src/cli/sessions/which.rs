//! Which live sessions are meant.

use std::net::IpAddr;

use clap::Args;

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

impl Which {
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

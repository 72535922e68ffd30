//! `rustsocks health`

use clap::Args;
use serde_json::Value;

use super::api::{Reach, printable};
use super::failure::{Failure, print};

/// Say how the running proxy is; exit status 0 while it takes clients
///
/// One that is degraded takes them, too: what is wrong stands in the line of its check.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Health {
    #[command(flatten)]
    reach: Reach,
}

impl Health {
    pub(super) fn health(self) -> Result<(), Failure> {
        let health = self.reach.api()?.get_whatever("/health")?;
        let word = |value: &Value| printable(value.as_str().unwrap_or_default());
        let mut text = format!("status       {}\n", word(&health["status"]));
        for (check, how) in health["checks"].as_object().into_iter().flatten() {
            text.push_str(&format!("{check:<12} {}\n", word(how)));
        }
        print(&text)?;
        match word(&health["checks"]["stage"]) {
            stage if stage == "ready" => Ok(()),
            stage => Err(Failure::Other(format!("the proxy takes no clients: it is {stage}"))),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  rustsocks health
  rustsocks health --config /etc/rustsocks/rustsocks.toml || echo down";

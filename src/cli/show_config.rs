//! `rustsocks show-config`

use std::path::Path;

use super::failure::{Failure, print};
use crate::config::Settings;

pub(super) fn show_config(config: Option<&Path>) -> Result<(), Failure> {
    let (settings, _) = Settings::load(config)?;
    print(&settings.to_toml())
}

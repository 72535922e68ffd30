//! `rustsocks show-config`

use std::path::Path;

use super::failure::{Failure, print, warn};
use crate::config;

pub(super) fn show_config(path: Option<&Path>) -> Result<(), Failure> {
    let (shown, warnings) = config::show(path)?;
    warn(&warnings)?;
    print(&shown)
}

//! `rustsocks show-config`

use std::path::Path;

use super::failure::{Failure, print};
use crate::config;

pub(super) fn show_config(path: Option<&Path>) -> Result<(), Failure> {
    print(&config::show(path)?)
}

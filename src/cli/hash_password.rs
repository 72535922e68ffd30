//! `rustsocks hash-password`

use super::failure::{Failure, print};
use super::password::new_password;
use crate::auth;

pub(super) fn hash_password() -> Result<(), Failure> {
    let password = new_password()?;
    let hash =
        auth::hash(password.as_bytes()).map_err(|error| Failure::Other(error.to_string()))?;
    print(&format!("{hash}\n"))
}

//! `rustsocks hash-password`

use std::io::{self, IsTerminal, Read};

use super::failure::{Failure, print};
use crate::auth;

pub(super) fn hash_password() -> Result<(), Failure> {
    let password = if io::stdin().is_terminal() { ask()? } else { read()? };
    if password.is_empty() {
        return Err(Failure::Other("the password is empty".to_owned()));
    }
    if password.len() > PASSWORD_OCTETS_MAX {
        return Err(Failure::Other(format!(
            "the password has {} octets; a SOCKS client can send {PASSWORD_OCTETS_MAX} at most",
            password.len()
        )));
    }
    let hash =
        auth::hash(password.as_bytes()).map_err(|error| Failure::Other(error.to_string()))?;
    print(&format!("{hash}\n"))
}

/// Without echo, twice.
fn ask() -> Result<String, Failure> {
    let prompt = |text: &str| {
        rpassword::prompt_password(text)
            .map_err(|error| Failure::Other(format!("cannot read the password: {error}")))
    };
    let password = prompt("Password: ")?;
    if prompt("Again: ")? == password {
        Ok(password)
    } else {
        Err(Failure::Other("the two passwords differ".to_owned()))
    }
}

/// The first line of stdin.
fn read() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(4096)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Other(format!("cannot read the password: {error}")))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// PLEN is one octet (RFC 1929 §2).
const PASSWORD_OCTETS_MAX: usize = 255;

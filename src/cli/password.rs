//! Passwords from a terminal, or from stdin; never from the command line, where everybody sees them.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use super::failure::Failure;

/// A new password: asked for twice without echo, or the first line of stdin.
pub(super) fn new_password() -> Result<Zeroizing<String>, Failure> {
    let password = if io::stdin().is_terminal() {
        let password = prompt("Password: ")?;
        if prompt("Again: ")? != password {
            return Err(Failure::Other("the two passwords differ".to_owned()));
        }
        password
    } else {
        first_line()?
    };
    usable(password)
}

/// A password that is to be checked: asked for once without echo, or the first line of stdin.
pub(super) fn password() -> Result<Zeroizing<String>, Failure> {
    usable(if io::stdin().is_terminal() { prompt("Password: ")? } else { first_line()? })
}

fn usable(password: Zeroizing<String>) -> Result<Zeroizing<String>, Failure> {
    if password.is_empty() {
        return Err(Failure::Other("the password is empty".to_owned()));
    }
    if password.len() > PASSWORD_OCTETS_MAX {
        return Err(Failure::Other(format!(
            "the password has {} octets; a SOCKS client can send {PASSWORD_OCTETS_MAX} at most",
            password.len()
        )));
    }
    Ok(password)
}

fn prompt(text: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(text)
        .map(Zeroizing::new)
        .map_err(|error| Failure::Other(format!("cannot read the password: {error}")))
}

fn first_line() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .take(4096)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Other(format!("cannot read the password: {error}")))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// PLEN is one octet (RFC 1929 §2).
const PASSWORD_OCTETS_MAX: usize = 255;

//! Passwords from a terminal, or from stdin; never from the command line, where everybody sees them.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use super::failure::Failure;

/// A new password: asked for twice without echo, or the one line of stdin.
pub(super) fn new_password() -> Result<Zeroizing<String>, Failure> {
    let password = if io::stdin().is_terminal() {
        let password = prompt("Password: ")?;
        if prompt("Again: ")? != password {
            return Err(Failure::Other("the two passwords differ".to_owned()));
        }
        password
    } else {
        only_line()?
    };
    usable(password)
}

/// A password that is to be checked: asked for once without echo, or the one line of stdin.
pub(super) fn password() -> Result<Zeroizing<String>, Failure> {
    usable(if io::stdin().is_terminal() { prompt("Password: ")? } else { only_line()? })
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

fn only_line() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    io::stdin()
        .lock()
        .take(4096)
        .read_to_string(&mut text)
        .map_err(|error| Failure::Other(format!("cannot read the password: {error}")))?;
    one_line(&text)
}

/// Whoever sends two lines means two things, and none of them is half a password.
fn one_line(text: &str) -> Result<Zeroizing<String>, Failure> {
    let mut lines = text.lines();
    let password = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        let text = "stdin has more than one line; expected the password and nothing else";
        return Err(Failure::Usage(text.to_owned()));
    }
    Ok(Zeroizing::new(password.to_owned()))
}

/// PLEN is one octet (RFC 1929 §2).
const PASSWORD_OCTETS_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        let read = |text| one_line(text).ok().map(|password| password.to_string());
        assert_eq!(read("secret\n").as_deref(), Some("secret"));
        assert_eq!(read("secret").as_deref(), Some("secret"));
        assert_eq!(read("two words \r\n").as_deref(), Some("two words "));
        assert_eq!(read(""), Some(String::new()));
        for more in ["secret\nagain\n", "secret\n\n", "\nsecret"] {
            assert_eq!(read(more), None, "{more:?}");
        }
    }
}

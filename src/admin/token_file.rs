//! The file that the bearer token is in: made at the first start, then only read.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::access::Token;
use crate::linux::private::{create_ours, open_ours};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is a file, and it is not one to be trusted.
    #[error("{path} is no file for a token: {why}")]
    Untrusted {
        /// Which.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It could not be made or read.
    #[error("{path} cannot be made: {error}")]
    Missing {
        /// Which.
        path: String,
        /// What the system says.
        error: io::Error,
    },
}

impl Token {
    /// Reads the token from its file, which is made with 256 random bits if there is none.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        if let Some(token) = read(path)? {
            return Ok(token);
        }
        match make(path) {
            Ok(()) => {}
            // Another process was faster, and made one as good.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(missing(path, error)),
        }
        read(path)?.ok_or_else(|| missing(path, io::ErrorKind::NotFound.into()))
    }
}

fn read(path: &Path) -> Result<Option<Token>, TokenError> {
    let untrusted = |why: String| TokenError::Untrusted { path: path.display().to_string(), why };
    let Some(file) = open_ours(path).map_err(|error| untrusted(error.to_string()))? else {
        return Ok(None);
    };
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_OCTETS_MAX)
        .read_to_string(&mut text)
        .map_err(|error| untrusted(error.to_string()))?;
    let secret = text.trim();
    // A short one could be guessed, and another octet could not be sent in a header.
    if secret.len() < TOKEN_OCTETS_MIN || !secret.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(untrusted(format!(
            "expected at least {TOKEN_OCTETS_MIN} visible ASCII characters; remove it, and the next \
             start makes one"
        )));
    }
    Ok(Token::new(secret))
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut octets = Zeroizing::new([0; TOKEN_OCTETS]);
    getrandom::fill(&mut *octets).map_err(io::Error::other)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * TOKEN_OCTETS + 1));
    for octet in *octets {
        for digit in [octet >> 4, octet & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text.push('\n');
    create_ours(path, text.as_bytes())
}

fn missing(path: &Path, error: io::Error) -> TokenError {
    TokenError::Missing { path: path.display().to_string(), error }
}

/// Random octets of a token: 256 bits.
const TOKEN_OCTETS: usize = 32;
/// Characters of a token that somebody else made, at least.
const TOKEN_OCTETS_MIN: usize = 32;
/// Octets read of the file.
const FILE_OCTETS_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn it_is_made_once_for_us_alone_and_read_from_then_on() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("data/api-token");
        let token = Token::from_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let made = text(&path);
        assert_eq!(made.trim().len(), 64);
        assert!(token.admits(Some(&format!("Bearer {}", made.trim()))));
        assert!(Token::from_file(&path).unwrap().admits(Some(&format!("Bearer {}", made.trim()))));
        let other = above.path().join("other");
        Token::from_file(&other).unwrap();
        assert_ne!(text(&other), made);
    }

    #[test]
    fn what_is_not_ours_alone_or_too_weak_is_refused_and_left_as_it_is() {
        let above = tempfile::tempdir().unwrap();
        let path = |name: &str| above.path().join(name);
        let untrusted = |name: &str| {
            let error = Token::from_file(&path(name)).err().unwrap();
            assert!(matches!(error, TokenError::Untrusted { .. }), "{error}");
        };
        Token::from_file(&path("good")).unwrap();
        symlink(path("good"), path("link")).unwrap();
        untrusted("link");
        symlink(path("nowhere"), path("dangling")).unwrap();
        untrusted("dangling");
        assert!(!path("nowhere").exists(), "nothing is made where a link points");
        for content in ["", "short", &"ä".repeat(40)] {
            create_ours(&path("weak"), content.as_bytes()).unwrap();
            untrusted("weak");
            fs::remove_file(path("weak")).unwrap();
        }
        fs::set_permissions(path("good"), fs::Permissions::from_mode(0o644)).unwrap();
        untrusted("good");
        let error = Token::from_file(&path("good/below")).err().unwrap();
        assert!(!error.to_string().contains(text(&path("good")).trim()));
    }
}

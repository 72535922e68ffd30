//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a configuration cannot be used.
///
/// Shown as one line: `file:line:column: key: what is wrong and what was expected; did you mean
/// …?`. What is not known is left out: a value that was not written has no line. A password or a
/// hash is never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) nearest: Option<String>,
}

impl ConfigError {
    /// The key at fault with its section, such as `server.bind_port`; empty when the fault is
    /// none of a key's.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The same of a file that this key names, with the whole of its path: whoever reads the line need
    /// not know the working directory of the process.
    pub(super) fn named_by(mut self, key: &str, file: &Path) -> Self {
        if self.key.is_empty() {
            key.clone_into(&mut self.key);
        }
        self.place.file = Some(std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf()));
        self
    }

    /// The known key or word that was probably meant.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", OneLine(&self.key))?;
        }
        write!(f, "{}", OneLine(&self.message))?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{}`?", OneLine(nearest)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A text that may quote what the file says, without the control characters that may be in it.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(char::is_control) {
            match part.char_indices().next_back() {
                Some((at, last)) if last.is_control() => {
                    write!(f, "{}{}", &part[..at], last.escape_default())?;
                }
                Some(_) | None => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

/// Where in which file. Shown as the beginning of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Option<PathBuf>,
    /// Line and column, both counted from 1, the column in characters.
    pub(super) position: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.file else { return Ok(()) };
        write!(f, "{}:", file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        f.write_str(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_does_not_break_the_line() {
        let error = ConfigError {
            place: Place { file: Some("a.toml".into()), position: Some((1, 2)) },
            key: "a.\nb".to_owned(),
            message: "hashes of the kind `$\rgon2id$`\u{1b}[31m".to_owned(),
            nearest: None,
        };
        let line = "a.toml:1:2: a.\\nb: hashes of the kind `$\\rgon2id$`\\u{1b}[31m";
        assert_eq!(error.to_string(), line);
    }
}

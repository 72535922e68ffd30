//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

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
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

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

//! How a command fails: one message on stderr, and the exit status that belongs to it.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::daemon;
#[cfg(feature = "database")]
use crate::store::StoreError;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The proxy could not start, or failed while it ran.
    #[error("{0}")]
    Daemon(#[from] daemon::Failure),
    /// A database cannot be used.
    #[cfg(feature = "database")]
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// The running proxy says no to whom we are.
    #[error("{0}")]
    Denied(String),
    /// The system says no to a file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What it says.
        error: io::Error,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Prints it and gives its exit status.
    pub(super) fn report(self) -> ExitCode {
        let code = match &self {
            Self::Config(_) => BAD_CONFIG,
            Self::Daemon(failure) if failure.is_permission() => NO_PERMISSION,
            Self::Daemon(failure) if failure.is_configuration() => BAD_CONFIG,
            #[cfg(feature = "database")]
            Self::Store(error) if error.is_permission() => NO_PERMISSION,
            #[cfg(feature = "database")]
            Self::Store(error) if error.is_configuration() => BAD_CONFIG,
            #[cfg(feature = "database")]
            Self::Store(error) if error.is_usage() => WRONG_USAGE,
            #[cfg(feature = "database")]
            Self::Store(_) => FAILED,
            Self::Usage(_) => WRONG_USAGE,
            Self::Denied(_) => NO_PERMISSION,
            Self::File { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                NO_PERMISSION
            }
            Self::File { .. } => FAILED,
            Self::Daemon(_) | Self::Other(_) => FAILED,
        };
        // Nowhere is left to report to when stderr is closed; the status still tells.
        match writeln!(io::stderr().lock(), "rustsocks: {self}") {
            Ok(()) | Err(_) => ExitCode::from(code),
        }
    }
}

/// Prints to stdout; a closed pipe is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Other(format!("cannot write to stdout: {error}"))),
    }
}

/// Prints what is odd about a configuration to stderr.
pub(super) fn warn(warnings: &[String]) -> Result<(), Failure> {
    for warning in warnings {
        writeln!(io::stderr().lock(), "rustsocks: warning: {warning}")
            .map_err(|error| Failure::Other(format!("cannot write to stderr: {error}")))?;
    }
    Ok(())
}

/// Failed while running.
const FAILED: u8 = 1;
/// As clap has it.
const WRONG_USAGE: u8 = 2;
/// EX_NOPERM of sysexits(3).
const NO_PERMISSION: u8 = 77;
/// EX_CONFIG of sysexits(3).
const BAD_CONFIG: u8 = 78;

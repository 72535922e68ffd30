//! What can be wrong with a database.

use std::path::Path;

/// What is wrong with a database, in one sentence that names it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no file.
    #[error(
        "sessions.database_url = {0:?}: expected sqlite:// and a path, such as sqlite://data/sessions.db"
    )]
    Url(String),
    /// The directory or a file cannot be made or opened.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// Another process owns it.
    #[error("a proxy runs on this database already, as process {holder} ({path} is held by it)")]
    InUse {
        /// The lock's file.
        path: String,
        /// Who holds it, as far as it can be told.
        holder: String,
    },
    /// It was written by a newer version.
    #[error("{path} has schema version {found}, newer than this binary's {known}")]
    Newer {
        /// The database.
        path: String,
        /// Its version.
        found: i64,
        /// The latest that this binary knows.
        known: i64,
    },
    /// It is not ours, damaged, or SQLite refuses it.
    #[error("{path} cannot be used as a database of sessions: {text}")]
    Unusable {
        /// The database.
        path: String,
        /// What SQLite says.
        text: String,
    },
    /// The table has no such column.
    #[error("there is no column {name}; there are {known}")]
    Column {
        /// What was asked for.
        name: String,
        /// What there is, with commas between.
        known: String,
    },
    /// Its file is not where it was opened; it will be put back.
    #[error("{path} {what}; what we have open will be put back")]
    Lost {
        /// Where it was.
        path: String,
        /// What has become of it.
        what: &'static str,
    },
    /// It cannot be used now, and may be later: locked by somebody, no room, an error of the disk.
    #[error("{path}: {text}")]
    Passing {
        /// The database.
        path: String,
        /// What SQLite says.
        text: String,
    },
}

impl StoreError {
    pub(super) fn file(path: &Path, error: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), error }
    }

    pub(super) fn unusable(path: &Path, error: &impl ToString) -> Self {
        Self::Unusable { path: path.display().to_string(), text: error.to_string() }
    }

    /// What SQLite says of the database at `path`.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, SystemIoFailure};
        let code = error.sqlite_error_code();
        if matches!(code, Some(DatabaseBusy | DatabaseLocked | DiskFull | SystemIoFailure)) {
            Self::Passing { path: path.display().to_string(), text: error.to_string() }
        } else {
            Self::unusable(path, error)
        }
    }

    /// Whether waiting may mend it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Passing { .. } | Self::Lost { .. } => true,
            Self::File { error, .. } => error.kind() == std::io::ErrorKind::StorageFull,
            Self::Url(_)
            | Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Unusable { .. }
            | Self::Column { .. } => false,
        }
    }

    /// Whether it is for want of permission.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::File { error, .. } => matches!(
                error.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem
            ),
            Self::Url(_)
            | Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Unusable { .. }
            | Self::Column { .. }
            | Self::Passing { .. }
            | Self::Lost { .. } => false,
        }
    }

    /// Whether the configuration is at fault.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        match self {
            Self::Url(_) | Self::Newer { .. } | Self::Unusable { .. } => true,
            Self::File { .. }
            | Self::InUse { .. }
            | Self::Column { .. }
            | Self::Lost { .. }
            | Self::Passing { .. } => false,
        }
    }

    /// Whether it was asked for what cannot be.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Column { .. })
    }
}

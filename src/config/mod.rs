//! The configuration: TOML in, [`Settings`] out, or one line that says what is wrong and where.
//!
//! `file.rs` is the file as written, [`Settings`] is the file as meant.
#![forbid(unsafe_code)]

mod choice;
mod error;
mod file;
mod sections;
mod server;
mod settings;
mod show;
mod source;
mod users;

pub use choice::{Family, Level, ResolverKind, Storage, Synchronous, Workers};
pub use error::ConfigError;
pub use settings::{
    AclSettings, AuthSettings, ListenSettings, LoggingSettings, MetricsSettings, ResolverSettings,
    ServerSettings, SessionSettings, Settings,
};

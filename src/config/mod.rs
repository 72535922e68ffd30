//! The configuration: TOML in, [`Settings`] out, or one line that says what is wrong and where.
//!
//! `file.rs` is the file as written, [`Settings`] is the file as meant; [`load_rules`] reads the rule
//! file in the same way.
#![forbid(unsafe_code)]

mod changes;
mod choice;
mod egress;
mod environment;
mod error;
mod file;
mod limits;
mod limits_file;
mod logging;
mod policy;
mod rules;
mod sections;
mod server;
mod settings;
mod show;
mod source;
mod strangers;
mod users;

pub use changes::Changes;
pub use choice::{Family, Level, ResolverKind, Sandbox, Storage, Synchronous, Workers};
pub use error::ConfigError;
pub use logging::{AccessLogSettings, LoggingSettings};
pub use rules::{load_rules, parse_rules};
pub use settings::{
    AclSettings, AuthSettings, EgressSettings, ListenSettings, MetricsSettings, ResolverSettings,
    ServerSettings, SessionSettings, Settings,
};
pub use show::show;
pub use users::parse_users;

// A build without a database refuses what is configured by default, and so whatever is tried here.
#[cfg(all(test, feature = "database"))]
mod tests;

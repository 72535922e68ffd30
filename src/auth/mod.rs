//! Who is it. Names and passwords, and nothing of how they came.
//!
//! An authenticated [`Identity`] can only be made here, out of a password that was right.
#![forbid(unsafe_code)]

mod credentials;
mod identity;
#[cfg(feature = "pam")]
mod pam;
#[cfg(not(feature = "pam"))]
#[path = "no_pam.rs"]
mod pam;
mod password;
mod recent;
mod service;
mod stored;
mod users;
mod users_file;

pub use credentials::Credentials;
pub use identity::Identity;
pub use password::{HashError, Verdict, hash, verify};
pub use recent::{KEPT_FOR, LOGINS_MAX, Recent, RecentKey};
pub use service::PamService;
pub use users::{User, Users};
pub use users_file::LineError;

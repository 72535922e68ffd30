//! In the place of `pam.rs` in a build without the feature `pam`: a configuration that asks for it is
//! refused, and nobody is let in by it.

use std::net::IpAddr;

pub(super) const BUILT_IN: bool = false;

/// What PAM says of a login.
#[expect(dead_code, reason = "nobody is asked")]
pub(super) enum Answer {
    Right,
    Wrong,
    Unknown,
}

pub(super) fn ask(_service: &str, _user: &str, _password: &[u8], _client: IpAddr) -> Answer {
    Answer::Unknown
}

//! A name and a password as a client sent them.

use std::fmt;

use zeroize::Zeroizing;

/// What a client claims; the password is wiped when this is dropped.
pub struct Credentials {
    username: Box<[u8]>,
    password: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// The two as they came; neither need be text.
    #[must_use]
    pub const fn new(username: Box<[u8]>, password: Zeroizing<Vec<u8>>) -> Self {
        Self { username, password }
    }

    /// The name, octet by octet.
    #[must_use]
    pub const fn username(&self) -> &[u8] {
        &self.username
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    /// The name only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &String::from_utf8_lossy(&self.username))
            .finish_non_exhaustive()
    }
}

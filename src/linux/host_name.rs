//! The name of this host, uname(2).

/// The name of this host; what is not UTF-8 in it is replaced.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

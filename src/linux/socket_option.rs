//! getsockopt(2) for what the kernel tells as a plain struct.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use zerocopy::{FromBytes, IntoBytes};

/// What the kernel says of one socket under this name: a prefix as long as the shorter of its own
/// struct and `T`, the rest zero.
///
/// JUSTIFICATION: std, mio, socket2 and rustix offer no safe call for TCP_INFO and SO_MEMINFO, and what
/// they know is nowhere else to be had for one socket. This is the crate's only getsockopt of its own.
///
/// # Errors
/// Whatever getsockopt(2) says: the socket has no such option.
#[expect(unsafe_code, reason = "these options have no safe wrapper")]
pub(super) fn option<T: FromBytes + IntoBytes>(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<T> {
    let mut value = T::new_zeroed();
    let octets = value.as_mut_bytes();
    let mut length = libc::socklen_t::try_from(octets.len()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed, so it is open throughout the call. The kernel writes at most
    // `length` octets to `octets`, which is exclusively ours and exactly that long, and writes the
    // number of them to `length`. It keeps neither pointer. `T` is valid for any octets and was
    // zeroed, so it does not matter how many were written.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            octets.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

//! The answer to a look-up.

use std::net::IpAddr;

use smallvec::SmallVec;

/// The addresses of a name, in the order in which they are to be tried; never empty.
pub type Addresses = SmallVec<[IpAddr; 4]>;

/// Why a look-up gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// No server answered in time.
    #[error("no name server answered in time")]
    TimedOut,
    /// A server answered with an error, or none is reachable.
    #[error("the name servers failed")]
    Failed,
    /// A bound on look-ups in flight was reached.
    #[error("too many look-ups are in flight")]
    Overloaded,
}

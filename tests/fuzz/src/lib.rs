//! What the targets share.

mod conversation;
mod setup;
mod said;

pub use conversation::{End, Seen, converse};
pub use setup::{Setup, moment, policy_with, reachable};

/// Holds one conversation whole, octet by octet and in the pieces of `setup`: all must come to the
/// same.
pub fn agree(setup: &Setup, octets: &[u8]) -> Seen {
    let whole = converse(setup, octets, std::iter::repeat(usize::MAX));
    let single = converse(setup, octets, std::iter::repeat(1));
    assert_eq!(whole, single, "octet by octet it is another conversation");
    let pieces = converse(setup, octets, setup.pieces());
    assert_eq!(whole, pieces, "in pieces it is another conversation");
    whole
}

//! Octets from one socket to the other; knows neither SOCKS nor sessions.
//!
//! A [`Relay`] is two `Flow`s that do not know each other. Each walks its own line:
//!
//! ```text
//!           source: EOF           nothing left: shutdown_write(sink)
//!   Open ───────────────▶ Draining ───────────────▶ Finished      the FIN was passed on
//!    │                       │
//!    │ source: error         │ nothing left, but the source was cut
//!    ├──── (cut) ──▶ Draining ─────────────────────▶ Broken       the caller resets the sink
//!    │                                                 ▲
//!    └────────────── sink: error ──────────────────────┘
//! ```
//!
//! The relay has ended when both flows are over. What one direction does never depends on the
//! state of the other, but for one thing: the error of a socket concerns both flows that touch it.
//! So there is no table of joint states.
//!
//! How octets are carried is the business of a carrier. There is one, `copy`: read into the
//! worker's scratch, write at once, keep what the sink refused in a `Stash`. A second one,
//! splice through a kernel pipe for ends that have an [`End::fd`], would be another arm beside
//! `Flow::stash` and another call beside `copy::carry`, and nothing else here would change.
//!
//! A reset is passed on as a reset, after what was accepted before it has been delivered: the
//! relay delivers, reports [`RelayEnd`], and the caller aborts the other socket.
#![forbid(unsafe_code)]

mod copy;
mod end;
mod flow;
#[expect(clippy::module_inception, reason = "one noun per file, and this one is the folder's")]
mod relay;
mod stash;

pub use copy::{BYTES_PER_TURN, Carrier, SCRATCH_OCTETS};
pub use end::{Direction, End, Meter, RelayEnd, Side};
pub use relay::{Advance, Relay};
pub use stash::{BLOCK_OCTETS, FREE_BLOCKS_MAX, LENT_BLOCKS_PLENTY, StashPool};

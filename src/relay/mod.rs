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
//! How octets are carried is the business of a carrier, chosen for each transfer:
//!
//! - `copy`: read into the worker's scratch, write at once, keep what the sink refused in a `Stash`.
//!   Best for all that is small, and for ends that are no plain sockets.
//! - `splice`: through a kernel pipe, for directions that have become heavy (`Pace`). What the sink
//!   refused stays in the pipe. Pipes belong to the worker, and a relay has one only while octets
//!   are in it.
//!
//! Both leave what is undelivered in `Flow::held`, and while there is something the source is not asked:
//! so either may take over from the other between any two transfers, and order is kept.
//!
//! A reset is passed on as a reset, after what was accepted before it has been delivered: the
//! relay delivers, reports [`RelayEnd`], and the caller aborts the other socket.
#![forbid(unsafe_code)]

mod carrier;
mod copy;
mod end;
mod flow;
mod held;
mod pace;
mod pipes;
#[expect(clippy::module_inception, reason = "one noun per file, and this one is the folder's")]
mod relay;
mod splice;
mod stash;

pub use carrier::{BYTES_PER_TURN, Carrier, HEAVY_BYTES_PER_TURN, SCRATCH_OCTETS};
pub use end::{Direction, End, Meter, RelayEnd, Side};
pub use pipes::{PipeSums, Pipes};
pub use relay::{Advance, Budget, Relay};
pub use stash::{BLOCK_OCTETS, FREE_BLOCKS_MAX, LENT_BLOCKS_PLENTY, StashPool};

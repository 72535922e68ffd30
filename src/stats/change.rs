//! What one commit changes about one session.

use crate::session::{SessionView, Traffic};

/// A session's row as it is written, and what its row said before. Sums over rows grow by the
/// difference, in the commit that writes the row, so they equal the table after every commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row as it is written.
    pub session: SessionView,
    /// The traffic of the row that is there already; `None` if there is none.
    pub before: Option<Traffic>,
}

impl Change {
    /// Whether the row is new.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.before.is_none()
    }

    /// What has moved since the row was last written.
    #[must_use]
    pub fn moved(&self) -> Traffic {
        let (now, before) = (self.session.traffic, self.before.unwrap_or_default());
        Traffic {
            bytes_sent: now.bytes_sent.saturating_sub(before.bytes_sent),
            bytes_received: now.bytes_received.saturating_sub(before.bytes_received),
            packets_sent: now.packets_sent.saturating_sub(before.packets_sent),
            packets_received: now.packets_received.saturating_sub(before.packets_received),
        }
    }
}

//! How much the windows may hold.

/// The bounds of the windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Minutes of the longest window.
    pub(super) minutes: i64,
    /// Users, and targets, that a minute keeps for certain; it is thinned to so many when it has
    /// twice as many. Sums do not suffer from it, only the tail of the lists.
    pub(super) names_per_minute: usize,
    /// Octets in all. Beyond it minutes are thinned further, then the oldest ones forgotten.
    pub(super) memory: usize,
}

impl Limits {
    /// The bounds for windows of up to so many hours.
    pub(super) fn new(hours: u32) -> Self {
        Self {
            minutes: i64::from(hours) * 60,
            names_per_minute: NAMES_PER_MINUTE,
            memory: MEMORY_MAX,
        }
    }
}

/// Users, and targets, that a minute keeps for certain.
const NAMES_PER_MINUTE: usize = 16_384;
/// Octets of all windows.
const MEMORY_MAX: usize = 512 << 20;

//! Families of the rolling windows: how much they hold, and whether they hold all.

use prometheus::proto::MetricFamily;

use super::family::{counter, gauge};
use crate::stats::{Windows, WindowsState};

pub(super) fn families(windows: &Windows) -> [MetricFamily; 4] {
    let WindowsState { complete, memory, names, dropped } = windows.state();
    [
        gauge(
            "rustsocks_windows_complete",
            "0 while the statistics of before the start are being loaded.",
            f64::from(u8::from(complete)),
        ),
        gauge(
            "rustsocks_windows_memory_bytes",
            "Memory of the rolling windows, about.",
            memory as f64,
        ),
        gauge(
            "rustsocks_windows_names",
            "Users and destinations that the windows know.",
            names as f64,
        ),
        counter(
            "rustsocks_windows_dropped_total",
            "Entries of users or destinations that a minute did not keep because a bound was reached.",
            dropped,
        ),
    ]
}

//! Numbers for readers. A worker counts in plain single-writer cells of its own, the writer sums up
//! what it commits; readers add up and ask. Nothing here knows who asks.
#![forbid(unsafe_code)]

mod best;
mod change;
mod counters;
mod gauges;
mod histogram;
mod history;
mod lookups;
mod minutes;
mod news;
mod peak;
mod readiness;
mod record;
mod report;
mod ring;
mod sampler;
mod stages;
mod users;
mod windows;

pub use best::Best;
pub use change::Change;
pub use counters::{Count, Counters, DURATION_BOUNDS_MS};
pub use gauges::{COMMIT_BOUNDS_US, WriterGauges};
pub use histogram::{Distribution, Histogram};
pub use history::{BadDest, Dest, Filter, HistoryPage, HistoryQuery, Order, Place};
pub use lookups::LookupCounts;
pub use minutes::{Minute, MinuteRecord, Minutes};
pub use news::{Follower, NEWS_MAX, News, NewsItem, NewsKind};
pub use peak::Peak;
pub use readiness::{Readiness, Stage};
pub use record::Record;
pub use report::{
    History, Report, TopDestination, TopUser, Unavailable, destination, window_start,
};
pub use ring::Ring;
pub use sampler::Sampler;
pub use stages::{STAGE_BOUNDS_US, StageHistogram, StageTimes};
pub use users::{GONE, OTHER, UserSum, UserSums};
pub use windows::{Answer, Past, Shortfall, Sums, TOP_MAX, Windows, WindowsState};

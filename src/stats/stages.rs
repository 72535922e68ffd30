//! How long the stages of sessions took: a histogram each, in the cells of one worker.

use super::histogram::Histogram;
use crate::session::Stages;

/// The stages of one worker's sessions, in microseconds.
#[derive(Debug)]
pub struct StageTimes {
    /// From the credentials' arrival to the verdict.
    pub auth: StageHistogram,
    /// From the question to the addresses, or to the news that there are none.
    pub resolve: StageHistogram,
    /// From the first dial to the connection.
    pub connect: StageHistogram,
    /// From the success reply to the target's first octet.
    pub first_byte: StageHistogram,
}

/// Of one stage.
pub type StageHistogram = Histogram<{ STAGE_BOUNDS_US.len() }>;

impl StageTimes {
    /// Counts those stages that happened. Only the owning thread may call it.
    pub fn observe(&self, stages: &Stages) {
        let Stages { auth_us, resolve_us, connect_us, first_byte_us } = *stages;
        let pairs = [
            (&self.auth, auth_us),
            (&self.resolve, resolve_us),
            (&self.connect, connect_us),
            (&self.first_byte, first_byte_us),
        ];
        for (histogram, us) in pairs {
            if let Some(us) = us {
                histogram.observe(u64::from(us));
            }
        }
    }

    /// Each stage by its name.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, &StageHistogram); 4] {
        let Self { auth, resolve, connect, first_byte } = self;
        [("auth", auth), ("resolve", resolve), ("connect", connect), ("first_byte", first_byte)]
    }
}

impl Default for StageTimes {
    fn default() -> Self {
        let [auth, resolve, connect, first_byte] =
            std::array::from_fn(|_| Histogram::new(&STAGE_BOUNDS_US));
        Self { auth, resolve, connect, first_byte }
    }
}

/// Upper bounds, microseconds: from a connection on the same host to the longest timeouts.
pub const STAGE_BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stages_that_happened_are_counted() {
        let times = StageTimes::default();
        times.observe(&Stages { auth_us: Some(70_000), connect_us: Some(0), ..Stages::default() });
        times.observe(&Stages { first_byte_us: Some(u32::MAX), ..Stages::default() });
        let counts = times.named().map(|(stage, histogram)| (stage, histogram.count()));
        assert_eq!(counts, [("auth", 1), ("resolve", 0), ("connect", 1), ("first_byte", 1)]);
        assert_eq!(times.auth.sum(), 70_000);
        assert_eq!(times.first_byte.sum(), u64::from(u32::MAX));
    }
}

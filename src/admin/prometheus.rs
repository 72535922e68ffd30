//! The metrics in Prometheus' text format.
//!
//! Nothing is counted here: a scrape adds up what the workers and the writer count for themselves.
//! Each struct of counters is taken apart without `..`, so a counter that is not exported does not
//! compile.

mod access_log;
mod datagrams;
mod family;
mod gate;
mod limits;
mod lookups;
mod records;
mod sessions;
mod users;
mod windows;
mod workers;

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

use self::family::{Kind, counter, gauge, labelled, sample};
use super::gate::GateCounters;
use super::reply::ApiReply;
use crate::access_log::AccessTally;
use crate::clock;
use crate::limit::Admission;
use crate::policy::InForce;
use crate::session::Ledger;
use crate::stats::{Count, Counters, Minutes, UserSums, Windows, WriterGauges};

/// The metrics of this process.
pub struct Exposition {
    registry: Registry,
}

/// Where the numbers come from.
pub struct Sources {
    /// What each worker counts.
    pub workers: Arc<[Arc<Counters>]>,
    /// Sums per user.
    pub users: Arc<UserSums>,
    /// Sums of what started of late.
    pub windows: Arc<Windows>,
    /// What passed in each minute that has ended.
    pub minutes: Arc<Minutes>,
    /// How the writer is doing.
    pub gauges: Arc<WriterGauges>,
    /// Connections in all.
    pub admission: Arc<Admission>,
    /// The policy in force, and how often it was reloaded.
    pub in_force: Arc<InForce>,
    /// How many slots there are.
    pub ledger: Arc<Ledger>,
    /// What the API's gate counts.
    pub gate: Arc<GateCounters>,
    /// What became of the lines of the access log.
    pub access_log: Arc<AccessTally>,
}

impl Exposition {
    /// The metrics of these sources and of the process itself.
    ///
    /// # Errors
    /// When two families have one name, which a test would have found.
    pub fn new(sources: Sources) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(sources))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { registry })
    }

    pub(super) fn reply(&self) -> ApiReply {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => {
                ApiReply::text(text).with_content_type("text/plain; version=0.0.4; charset=utf-8")
            }
            Err(error) => ApiReply::problem(500, &error.to_string()),
        }
    }
}

impl Collector for Sources {
    fn desc(&self) -> Vec<&Desc> {
        // Unchecked: the families below have their names once, and a test reads them all.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = clock::now();
        let mut families = Vec::with_capacity(FAMILIES_ABOUT);
        families.extend(sessions::families(&self.workers));
        families.extend(users::families(&self.users));
        families.extend(workers::families(&self.workers, now.utc_ms));
        families.extend(datagrams::families(&self.workers));
        families.extend(lookups::families(&self.workers));
        families.extend(records::families(self, now.mono));
        families.extend(windows::families(&self.windows));
        // A family without a series would have a name and no value.
        let limits = limits::families(self.admission.limits(), now.utc_ms);
        families.extend(limits.into_iter().filter(|family| !family.get_metric().is_empty()));
        families.extend(self.process());
        families.push(gate::family(&self.gate));
        families.push(access_log::family(&self.access_log));
        families
    }
}

impl Sources {
    fn process(&self) -> [MetricFamily; 13] {
        let bans = self.admission.bans();
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("features", FEATURES)];
        let (applied, refused) = self.in_force.reloads();
        let reloads = [("applied", applied), ("refused", refused)]
            .map(|(result, count)| sample(Kind::Counter, &[("result", result)], count as f64));
        [
            labelled(
                "rustsocks_policy_reloads_total",
                "Reloads of configuration and rules that were applied, or refused without a change.",
                Kind::Counter,
                reloads.into(),
            ),
            gauge(
                "rustsocks_policy_stale",
                "Whether a watched file (users, rules, configuration) cannot be read or is refused, so that \
                 what was read before is in force.",
                f64::from(u8::from(self.in_force.behind().is_some())),
            ),
            gauge(
                "rustsocks_bans",
                "Addresses that are banned now after too many wrong passwords.",
                bans.count(clock::mono()) as f64,
            ),
            counter(
                "rustsocks_bans_total",
                "Bans of addresses after too many wrong passwords.",
                bans.made(),
            ),
            counter(
                "rustsocks_failures_uncounted_total",
                "Logins whose failure is not counted, because too many addresses are being counted.",
                bans.uncounted(),
            ),
            counter(
                "rustsocks_logins_put_off_total",
                "Times that a login was put off for a moment, because as many of its address were being \
                 checked as may be.",
                bans.put_off(),
            ),
            counter(
                "rustsocks_logins_turned_away_total",
                "Logins that waited to be checked and were not, because there was no room for those of other \
                 networks, of which fewer waited.",
                bans.turned_away(),
            ),
            counter(
                "rustsocks_logins_held_up_total",
                "Logins that the host was not asked about, because modules of PAM had held all threads for \
                 longer than a client waits.",
                bans.held_up(),
            ),
            gauge(
                "rustsocks_connections",
                "Client connections open now.",
                f64::from(self.admission.taken()),
            ),
            gauge(
                "rustsocks_connections_limit",
                "Client connections that may be open at once.",
                f64::from(self.admission.seats_max()),
            ),
            gauge(
                "rustsocks_connection_sockets",
                "Sockets of client connections open now, those towards targets included.",
                f64::from(self.admission.sockets()),
            ),
            gauge(
                "rustsocks_connection_sockets_limit",
                "Such sockets that may be open at once, by the limit of descriptors.",
                f64::from(self.admission.sockets_max()),
            ),
            labelled(
                "rustsocks_build_info",
                "Always 1; what was built stands in the labels.",
                Kind::Gauge,
                vec![sample(Kind::Gauge, &labels, 1.0)],
            ),
        ]
    }
}

/// The sum of one counter over the workers.
fn sum(workers: &[Arc<Counters>], count: impl Fn(&Counters) -> &Count) -> u64 {
    workers.iter().map(|worker| count(worker).get()).sum()
}

/// The optional parts of this binary; `metrics` is one, or this would not be here.
const FEATURES: &str = match (cfg!(feature = "database"), cfg!(feature = "dns-cares")) {
    (true, true) => "database,dns-cares,metrics",
    (true, false) => "database,metrics",
    (false, true) => "dns-cares,metrics",
    (false, false) => "metrics",
};
/// Room for the families.
const FAMILIES_ABOUT: usize = 64;

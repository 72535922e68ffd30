//! Metric families made of numbers that were counted elsewhere.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::stats::Distribution;

/// What a family of plain numbers is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// The labels of one series: names and values.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A family of one series without labels, which only grows.
pub(super) fn counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, vec![sample(Kind::Counter, &[], value as f64)])
}

/// A family of one series without labels, which goes up and down.
pub(super) fn gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, vec![sample(Kind::Gauge, &[], value)])
}

/// A family of series that [`sample`] made, all of this kind.
pub(super) fn labelled(name: &str, help: &str, kind: Kind, samples: Vec<Metric>) -> MetricFamily {
    let kind = match kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    };
    family(name, help, kind, samples)
}

/// A family of histograms in seconds.
pub(super) fn histograms(name: &str, help: &str, samples: Vec<Metric>) -> MetricFamily {
    family(name, help, MetricType::HISTOGRAM, samples)
}

/// One series.
pub(super) fn sample(kind: Kind, labels: Labels<'_>, value: f64) -> Metric {
    let mut metric = Metric::from_label(pairs(labels));
    match kind {
        Kind::Counter => {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        }
        Kind::Gauge => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
    }
    metric
}

/// One histogram in seconds, of a distribution of which so many units are a second.
pub(super) fn seconds(labels: Labels<'_>, distribution: &Distribution, unit: Unit) -> Metric {
    let per_second = match unit {
        Unit::Milliseconds => 1e3,
        Unit::Microseconds => 1e6,
    };
    let bucket = |&(bound, count): &(u64, u64)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound as f64 / per_second);
        bucket.set_cumulative_count(count);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(distribution.cumulative.iter().map(bucket).collect());
    histogram.set_sample_count(distribution.count);
    histogram.set_sample_sum(distribution.sum as f64 / per_second);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_histogram(histogram);
    metric
}

/// In what a distribution was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 1/1 000 s.
    Milliseconds,
    /// 1/1 000 000 s.
    Microseconds,
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |&(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.to_owned());
        label
    };
    labels.iter().map(pair).collect()
}

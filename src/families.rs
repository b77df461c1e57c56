//! Making and registering metric families, for the modules that declare them.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

/// A label, and every value that it can have.
pub type ClosedLabel<'a> = (&'a str, Vec<&'a str>);

/// A counter without labels, registered.
///
/// # Errors
/// The name is taken.
pub fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

/// A counter with labels, registered, with a child for every combination of their values: an
/// increase from nothing at all would not be seen.
///
/// # Errors
/// The name is taken.
pub fn counter_by(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[ClosedLabel<'_>],
) -> prometheus::Result<IntCounterVec> {
    let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
    let family = IntCounterVec::new(Opts::new(name, help), &names)?;
    registry.register(Box::new(family.clone()))?;
    let mut children: Vec<Vec<&str>> = vec![Vec::new()];
    for (_, values) in labels {
        let longer = children.iter().flat_map(|child| {
            values.iter().map(move |value| [child.as_slice(), &[*value]].concat())
        });
        children = longer.collect();
    }
    for child in children {
        family.with_label_values(&child);
    }
    Ok(family)
}

/// A gauge without labels, registered.
///
/// # Errors
/// The name is taken.
pub fn gauge(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// A gauge with one label, registered, with a child for every value of it.
///
/// # Errors
/// The name is taken.
pub fn gauge_by(
    registry: &Registry,
    name: &str,
    help: &str,
    (label, values): &ClosedLabel<'_>,
) -> prometheus::Result<IntGaugeVec> {
    let family = IntGaugeVec::new(Opts::new(name, help), &[*label])?;
    registry.register(Box::new(family.clone()))?;
    for value in values {
        family.with_label_values(&[*value]);
    }
    Ok(family)
}

/// A histogram without labels, registered.
///
/// # Errors
/// The name is taken.
pub fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> prometheus::Result<Histogram> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

/// A number as a gauge takes it.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Brings a counter up to a total that is counted elsewhere. One caller at a time.
pub fn raise_to(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

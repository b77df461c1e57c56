//! Making and registering metric families, for the modules that declare them.

use prometheus::{IntCounter, IntGauge, Registry};

/// A counter without labels, registered.
///
/// # Errors
/// The name is taken.
pub fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
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

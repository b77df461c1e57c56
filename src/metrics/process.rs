//! The process as a whole: its version, whether it stops, and its tokio runtimes.

use prometheus::{CounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::runtime::RuntimeMetrics;

use crate::drain::Drain;
use crate::families::{ClosedLabel, gauge, gauge_by, signed};

/// What the threads of a runtime are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Connections of clients: the workers.
    Connections,
    /// Live events from NATS.
    Tail,
    /// Everything else: requests to NATS, the admin port, signals.
    Other,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Connections, Self::Tail, Self::Other];

    fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Tail => "tail",
            Self::Other => "other",
        }
    }
}

fn purposes() -> ClosedLabel<'static> {
    ("purpose", Purpose::ALL.map(Purpose::label).into())
}

/// A runtime of tokio.
pub struct ObservedRuntime {
    /// What it is for.
    pub purpose: Purpose,
    /// What it tells of itself.
    pub metrics: RuntimeMetrics,
}

/// The families of the process.
pub(super) struct ProcessMetrics {
    draining: IntGauge,
    workers: IntGaugeVec,
    tasks: IntGaugeVec,
    queue_depth: IntGaugeVec,
    busy: CounterVec,
}

impl ProcessMetrics {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        let build = IntGaugeVec::new(
            Opts::new("jobwire_build_info", "Version of the program; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        let busy = CounterVec::new(
            Opts::new(
                "jobwire_runtime_busy_seconds_total",
                "Time that the threads of a runtime were at work, in seconds.",
            ),
            &["purpose"],
        )?;
        registry.register(Box::new(busy.clone()))?;
        for purpose in Purpose::ALL {
            busy.with_label_values(&[purpose.label()]);
        }
        let by = |name: &str, help: &str| gauge_by(registry, name, help, &purposes());
        Ok(Self {
            draining: gauge(registry, "jobwire_draining", "1: the process is stopping.")?,
            workers: by("jobwire_runtime_workers", "Threads of tokio runtimes.")?,
            tasks: by("jobwire_runtime_tasks", "Tasks that are alive in a runtime.")?,
            queue_depth: by(
                "jobwire_runtime_queue_depth",
                "Tasks that wait in the global queue of a runtime.",
            )?,
            busy,
        })
    }

    /// One caller at a time.
    pub(super) fn observe(&self, drain: Drain, runtimes: &[ObservedRuntime]) {
        self.draining.set(drain.spread().is_some().into());
        for purpose in Purpose::ALL {
            let runtimes = || {
                let of_purpose = runtimes.iter().filter(|runtime| runtime.purpose == purpose);
                of_purpose.map(|runtime| &runtime.metrics)
            };
            let label = &[purpose.label()];
            let sum = |figure: fn(&RuntimeMetrics) -> usize| {
                signed(runtimes().map(|runtime| figure(runtime) as u64).sum())
            };
            self.workers.with_label_values(label).set(sum(RuntimeMetrics::num_workers));
            self.tasks.with_label_values(label).set(sum(RuntimeMetrics::num_alive_tasks));
            self.queue_depth.with_label_values(label).set(sum(RuntimeMetrics::global_queue_depth));
            // Tokio counts it where the target has atomics of 64 bits.
            #[cfg(target_has_atomic = "64")]
            {
                let total: f64 = runtimes().map(busy_seconds).sum();
                let busy = self.busy.with_label_values(label);
                busy.inc_by((total - busy.get()).max(0.0));
            }
        }
    }
}

#[cfg(target_has_atomic = "64")]
fn busy_seconds(runtime: &RuntimeMetrics) -> f64 {
    let workers = 0..runtime.num_workers();
    workers.map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum()
}

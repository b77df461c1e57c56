//! The process as a whole: its version, whether it stops, and its tokio runtimes.

use prometheus::{Counter, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::runtime::RuntimeMetrics;

use crate::drain::Drain;
use crate::families::{gauge, signed};

/// The families of the process.
pub(super) struct ProcessMetrics {
    draining: IntGauge,
    workers: IntGauge,
    tasks: IntGauge,
    queue_depth: IntGauge,
    busy: Counter,
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
        let busy = Counter::new(
            "jobwire_runtime_busy_seconds_total",
            "Time that the threads of all runtimes were at work, in seconds.",
        )?;
        registry.register(Box::new(busy.clone()))?;
        let gauge = |name: &str, help: &str| gauge(registry, name, help);
        Ok(Self {
            draining: gauge("jobwire_draining", "1: the process is stopping.")?,
            workers: gauge("jobwire_runtime_workers", "Threads of all tokio runtimes.")?,
            tasks: gauge("jobwire_runtime_tasks", "Tasks that are alive in all runtimes.")?,
            queue_depth: gauge(
                "jobwire_runtime_queue_depth",
                "Tasks that wait in the global queues of all runtimes.",
            )?,
            busy,
        })
    }

    /// One caller at a time.
    pub(super) fn observe(&self, drain: Drain, runtimes: &[RuntimeMetrics]) {
        self.draining.set(drain.spread().is_some().into());
        let sum = |figure: fn(&RuntimeMetrics) -> usize| {
            signed(runtimes.iter().map(|runtime| figure(runtime) as u64).sum())
        };
        self.workers.set(sum(RuntimeMetrics::num_workers));
        self.tasks.set(sum(RuntimeMetrics::num_alive_tasks));
        self.queue_depth.set(sum(RuntimeMetrics::global_queue_depth));
        // Tokio counts it where the target has atomics of 64 bits.
        #[cfg(target_has_atomic = "64")]
        {
            let of_runtime = |runtime: &RuntimeMetrics| -> f64 {
                let workers = 0..runtime.num_workers();
                workers.map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum()
            };
            let total: f64 = runtimes.iter().map(of_runtime).sum();
            self.busy.inc_by((total - self.busy.get()).max(0.0));
        }
    }
}

//! Metrics in the OpenMetrics text format 1.0, which the `prometheus` crate does not write.

use std::fmt::{Display, Write};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// The type of the answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes families of counters, gauges and histograms; there are no others.
pub fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        let kind = family.get_field_type();
        // A counter's family has the name of its samples without the suffix.
        let name = match kind {
            MetricType::COUNTER => family.name().trim_end_matches("_total"),
            _ => family.name(),
        };
        line(&mut text, format_args!("# HELP {name} {}", escaped(family.help())));
        line(&mut text, format_args!("# TYPE {name} {}", word(kind)));
        for metric in family.get_metric() {
            samples(&mut text, name, kind, metric);
        }
    }
    line(&mut text, "# EOF");
    text
}

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "unknown",
    }
}

fn samples(text: &mut String, name: &str, kind: MetricType, metric: &Metric) {
    let labels = metric.get_label();
    let mut sample = |suffix: &str, bound: Option<f64>, value: &dyn Display| {
        let labels = label_set(labels, bound);
        line(text, format_args!("{name}{suffix}{labels} {value}"));
    };
    match kind {
        MetricType::COUNTER => sample("_total", None, &metric.get_counter().get_value()),
        MetricType::GAUGE => sample("", None, &metric.get_gauge().get_value()),
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter();
            for bucket in buckets.filter(|bucket| bucket.upper_bound().is_finite()) {
                sample("_bucket", Some(bucket.upper_bound()), &bucket.cumulative_count());
            }
            sample("_bucket", Some(f64::INFINITY), &histogram.get_sample_count());
            sample("_sum", None, &histogram.get_sample_sum());
            sample("_count", None, &histogram.get_sample_count());
        }
        _ => {}
    }
}

fn label_set(labels: &[LabelPair], bound: Option<f64>) -> String {
    let mut pairs: Vec<String> = labels
        .iter()
        .map(|label| format!("{}=\"{}\"", label.name(), escaped(label.value())))
        .collect();
    match bound {
        Some(bound) if bound.is_infinite() => pairs.push("le=\"+Inf\"".into()),
        // With a decimal point, as the format wants bounds.
        Some(bound) => pairs.push(format!("le=\"{bound:?}\"")),
        None => {}
    }
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn line(text: &mut String, line: impl Display) {
    // Writing to memory does not fail.
    let _ = writeln!(text, "{line}");
}

/// Whether a client that accepts this would rather have OpenMetrics 1.0 than the Prometheus text.
pub fn is_wanted(accept: &str) -> bool {
    let quality = |wanted: &str| {
        let entries = accept.split(',').map(|entry| entry.split(';').map(str::trim));
        let qualities = entries.filter_map(|mut parts| {
            let media_type = parts.next()?;
            let parameters: Vec<&str> = parts.collect();
            let of = |name: &str| {
                let mut pairs = parameters.iter().filter_map(|pair| pair.split_once('='));
                pairs.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
            };
            let other_version =
                wanted == OPEN_METRICS && of("version").is_some_and(|v| v != "1.0.0");
            let is_it = media_type.eq_ignore_ascii_case(wanted) && !other_version;
            is_it.then(|| of("q").map_or(Some(1.0), |quality| quality.parse::<f64>().ok()))?
        });
        qualities.fold(0.0, f64::max)
    };
    let open_metrics = quality(OPEN_METRICS);
    open_metrics > 0.0 && open_metrics >= quality("text/plain")
}

const OPEN_METRICS: &str = "application/openmetrics-text";

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::families::{counter_by, gauge, histogram};

    #[test]
    fn counters_gauges_and_histograms_are_written_as_the_format_says() {
        let registry = Registry::new();
        let asked = counter_by(&registry, "a_total", "A \"b\".", &[("c", vec!["d"])]).unwrap();
        asked.with_label_values(&["d"]).inc_by(3);
        gauge(&registry, "b", "B.").unwrap().set(-1);
        histogram(&registry, "c_seconds", "C.", &[0.5, 1.0]).unwrap().observe(0.75);
        let expected = "# HELP a A \\\"b\\\".\n# TYPE a counter\na_total{c=\"d\"} 3\n\
            # HELP b B.\n# TYPE b gauge\nb -1\n\
            # HELP c_seconds C.\n# TYPE c_seconds histogram\n\
            c_seconds_bucket{le=\"0.5\"} 0\nc_seconds_bucket{le=\"1.0\"} 1\n\
            c_seconds_bucket{le=\"+Inf\"} 1\nc_seconds_sum 0.75\nc_seconds_count 1\n# EOF\n";
        assert_eq!(encode(&registry.gather()), expected);
    }

    #[test]
    fn open_metrics_is_for_those_who_prefer_it() {
        for wanted in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        ] {
            assert!(is_wanted(wanted), "{wanted}");
        }
        for other in [
            "",
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=2.0.0",
            "text/plain;q=0.9,application/openmetrics-text;q=0.5",
        ] {
            assert!(!is_wanted(other), "{other}");
        }
    }
}

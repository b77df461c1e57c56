use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::proto::MetricType;

use super::*;
use crate::config::routes::RouteSettings;

fn metrics(routes: Vec<RouteSettings>) -> Metrics {
    let routes = Routes::resolve(routes, true, "JOBS", Duration::ZERO).unwrap();
    Metrics::new(&routes).unwrap()
}

fn observed() -> Observed {
    let (_, drain) = watch::channel(Drain::default());
    Observed { streams: Vec::new(), connections: Vec::new(), runtimes: Vec::new(), drain }
}

fn kind(family: &MetricFamily) -> String {
    format!("{:?}", family.get_field_type()).to_lowercase()
}

/// Every label of a family with its values.
fn labels(family: &MetricFamily) -> BTreeMap<&str, Vec<&str>> {
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
        let values = labels.entry(label.name()).or_default();
        if !values.contains(&label.value()) {
            values.push(label.value());
        }
    }
    labels
}

/// A line of the table in docs/metrics.md.
fn row(family: &MetricFamily) -> String {
    let words = |(label, values): (&str, Vec<&str>)| match label {
        "version" | "stream" => format!("`{label}`"),
        _ => format!("`{label}`: {}", values.join(", ")),
    };
    let labels: Vec<String> = labels(family).into_iter().map(words).collect();
    let help = family.help();
    format!("| `{}` | {} | {} | {help} |\n", family.name(), kind(family), labels.join("; "))
}

/// The families of ours; those of the `process_` collector depend on the system.
fn ours(families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    families.into_iter().filter(|family| family.name().starts_with("jobwire_")).collect()
}

#[test]
fn the_documented_table_is_what_a_gateway_exposes() {
    let families = ours(metrics(Vec::new()).gather(&observed()));
    let table: String = families.iter().map(row).collect();
    let told = include_str!("../../docs/metrics.md").lines();
    let told: String =
        told.filter(|line| line.starts_with("| `")).map(|l| format!("{l}\n")).collect();
    assert!(told == table, "docs/metrics.md should have this table:\n\n{table}");
}

#[test]
fn every_value_of_a_label_is_there_from_the_start_and_there_are_few() {
    let families = metrics(Vec::new()).gather(&observed());
    for family in &families {
        let combinations: usize = labels(family).values().map(Vec::len).product();
        // The reason of a refusal stands for several endings.
        assert_eq!(family.get_metric().len(), combinations, "{}", family.name());
    }
    let series = |family: &MetricFamily| {
        let buckets = |metric: &prometheus::proto::Metric| match family.get_field_type() {
            MetricType::HISTOGRAM => metric.get_histogram().get_bucket().len() + 3,
            _ => 1,
        };
        family.get_metric().iter().map(buckets).sum::<usize>()
    };
    let all: usize = families.iter().map(series).sum();
    assert!((300..500).contains(&all), "{all} series");
}

#[test]
fn names_follow_the_rules_of_prometheus() {
    for family in ours(metrics(Vec::new()).gather(&observed())) {
        let name = family.name();
        assert_eq!(kind(&family) == "counter", name.ends_with("_total"), "{name}");
        let units = ["_milliseconds", "_ms", "_kilobytes", "_percent", "_count"];
        assert!(!units.iter().any(|unit| name.contains(unit)), "{name}");
        assert!(family.help().ends_with('.'), "{name}: {}", family.help());
    }
}

#[test]
fn streams_and_kinds_are_those_of_the_configuration() {
    let route = "path = \"/ws/x\"\ndialect = \"optimization\"\nkind = \"search\"\nstream = \"B\"";
    let families = metrics(vec![toml::from_str(route).unwrap()]).gather(&observed());
    let values = |name: &str, label: &str| {
        let family = families.iter().find(|family| family.name() == name).unwrap();
        labels(family).get(label).unwrap().join(" ")
    };
    assert_eq!(values("jobwire_tail_sequence", "stream"), "B JOBS");
    let kinds = values("jobwire_job_events_total", "kind");
    assert_eq!(kinds, "agent beam-search optimization other search training");
}

#[test]
fn open_metrics_has_every_family() {
    let (metrics, observed) = (metrics(Vec::new()), observed());
    let text = metrics.open_metrics(&observed);
    for family in metrics.gather(&observed) {
        let name = family.name().trim_end_matches("_total");
        assert!(text.contains(&format!("# TYPE {name} {}\n", kind(&family))), "{name}");
    }
    assert!(text.ends_with("\n# EOF\n"));
}

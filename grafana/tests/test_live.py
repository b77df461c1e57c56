"""Every query of every panel and alert, against a real Prometheus that scrapes real gateways under load."""

import re
import subprocess

import pytest
from project import ALERTS, QUERIES, RECORDS, program, substituted
from promql import names, operands
from stage import eventually

# What has no answer when all is well, or cannot have one here, with the reason.
MAY_BE_EMPTY = {
    "absent(jobwire_build_info)": "gateways are scraped",
    "max by (cluster, namespace, pod) (container_memory_working_set_bytes": "no cAdvisor, no kube-state-metrics",
}
# Series that no gateway gives.
FROM_ELSEWHERE = {
    "up": "Prometheus makes it for every target",
    "ALERTS": "Prometheus makes it of rules",
    "container_memory_working_set_bytes": "cAdvisor",
    "kube_pod_container_resource_limits": "kube-state-metrics",
}
# Families of the gateway that no panel and no alert has use for, with the reason.
NOT_SHOWN = {}

CONDITIONS = {
    f"{name} {number}": operand
    for name, alert in ALERTS.items()
    for number, operand in enumerate(operands(alert["expr"]), 1)
    if not operand.startswith(tuple(MAY_BE_EMPTY))
}


def families(text):
    return dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)$", text))


def family(name, known):
    """The family of a series: that of a histogram has parts."""
    return name if name in known else re.sub(r"_(bucket|sum|count)$", "", name)


@pytest.fixture(scope="module")
def known(scene):
    return {name for text in scene.texts for name in families(text)}


def test_promtool_finds_nothing_wrong_with_the_metrics(scene):
    for text in scene.texts:
        done = subprocess.run(
            [program("PROMTOOL"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_name_is_one_that_a_gateway_gives(known):
    used = {name for query in [*QUERIES.values(), *RECORDS.values()] for name in names(query)}
    used |= {name for alert in ALERTS.values() for name in names(alert["expr"])}
    unknown = {name for name in used if family(name, known) not in known} - set(RECORDS) - set(FROM_ELSEWHERE)
    assert not unknown


def test_everything_that_a_gateway_gives_is_shown(known):
    shown = {family(name, known) for query in QUERIES.values() for name in names(query)}
    shown |= {family(name, known) for alert in ALERTS.values() for name in names(alert["expr"])}
    shown |= {family(name, known) for query in RECORDS.values() for name in names(query)}
    assert {name for name in known if name.startswith("jobwire_")} - shown == set(NOT_SHOWN)


def test_prometheus_evaluates_every_rule(scene):
    rules = eventually("all rules are evaluated", lambda: evaluated(scene.prometheus))
    assert len(rules) == len(ALERTS) + len(RECORDS)
    assert {rule["name"]: rule["lastError"] for rule in rules if rule.get("lastError")} == {}


def evaluated(prometheus):
    rules = prometheus.rules()
    return rules if all(rule["health"] != "unknown" for rule in rules) else None


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_panel_has_an_answer(query, scene):
    eventually(substituted(query), lambda: scene.prometheus.values(substituted(query)))


@pytest.mark.parametrize("record", RECORDS)
def test_a_recorded_series_has_values(record, scene):
    eventually(record, lambda: scene.prometheus.values(record))


@pytest.mark.parametrize("operand", CONDITIONS.values(), ids=CONDITIONS)
def test_what_an_alert_compares_has_values(operand, scene):
    eventually(operand, lambda: scene.prometheus.values(operand))


def test_what_may_be_empty_is_part_of_an_alert():
    everything = [operand for alert in ALERTS.values() for operand in operands(alert["expr"])]
    for beginning in MAY_BE_EMPTY:
        assert any(operand.startswith(beginning) for operand in everything), beginning

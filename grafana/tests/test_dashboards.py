"""Dashboards: the rules of Grafana's dashboard-linter (github.com/grafana/dashboard-linter), and ours."""

import re
import subprocess
import sys

import pytest
import yaml
from project import ALERTS, DASHBOARDS, GRAFANA, PANELS, QUERIES, RECORDS, program, substituted
from promql import names, ranges, selectors

KINDS = {"stat", "timeseries", "state-timeline", "heatmap"}
# Those of Grafana's units that are used; the linter has the list of all.
UNITS = {"none", "short", "percentunit", "ops", "reqps", "s", "bytes", "Bps", "locale", "bool_yes_no"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MATCHERS = ('job=~"$job"', 'instance=~"$instance"')
# What is recorded belongs to no one instance, and alerts may be about all: of these the linter's rule cannot be kept.
WITHOUT_INSTANCE = {*RECORDS}
WITHOUT_EITHER = {"ALERTS"}

boards = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=DASHBOARDS)
panels = pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
queries = pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)


def variables(board):
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def test_the_files_are_what_their_source_says():
    done = subprocess.run(
        [sys.executable, GRAFANA / "write-dashboards", "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


# The linter's rules, each by its name there.


@boards
def test_template_datasource_rule(board):
    [found] = [variable for variable in variables(board).values() if variable["type"] == "datasource"]
    assert (found["name"], found["label"], found["query"]) == ("datasource", "Data source", "prometheus")


@boards
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_rule_and_template_instance_rule(board, name):
    found = variables(board)[name]
    assert (found["type"], found["label"], found["datasource"]) == ("query", name.title(), DATASOURCE)
    assert (found["multi"], found["includeAll"], found["allValue"]) == (True, True, ".+")


@boards
def test_template_label_promql_rule_and_template_on_time_change_reload_rule(board):
    for variable in variables(board).values():
        if variable["type"] == "query":
            assert re.fullmatch(r"label_values\(jobwire_build_info(\{[^{}]+\})?, \w+\)", variable["query"])
            assert variable["refresh"] == 2


@boards
def test_uneditable_dashboard(board):
    assert board["editable"] is False


@panels
def test_panel_datasource_rule(panel):
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


@panels
def test_panel_title_description_rule(panel):
    assert panel["title"]
    assert panel["description"].partition("\n")[0].endswith(".")


@panels
def test_panel_units_rule(panel):
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS


@panels
def test_panel_no_targets_rule(panel):
    assert panel["targets"]


@queries
def test_target_job_rule_and_target_instance_rule(query):
    for name, matchers in selectors(query):
        wanted = MATCHERS if name not in WITHOUT_INSTANCE | WITHOUT_EITHER else MATCHERS[: name in WITHOUT_INSTANCE]
        assert all(matcher in matchers for matcher in wanted), name


@queries
def test_target_rate_interval_rule(query):
    """Stricter: no range at all but these two, and the second only where all the time shown is counted."""
    for function, reach in ranges(query):
        assert reach == "$__rate_interval" or (function, reach) == ("increase", "$__range")


@queries
def test_target_counter_agg_rule(query):
    counters = [name for name, _ in selectors(query) if name.endswith(("_total", "_bucket", "_count", "_sum"))]
    over_a_range = [function for function, _ in ranges(query) if function in {"rate", "increase"}]
    assert len(counters) == len(over_a_range)


def test_target_promql_rule(tmp_path):
    """promtool reads every query as if it were a rule's."""
    rules = [{"record": f"query_{number}", "expr": substituted(query)} for number, query in enumerate(QUERIES.values())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = [program("PROMTOOL"), "check", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


# Ours.


@panels
def test_a_panel_is_of_a_kind_that_grafana_still_has(panel):
    assert panel["type"] in KINDS


@boards
def test_panels_are_found_by_ids_that_differ_and_do_not_overlap(board):
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


@boards
def test_dashboards_have_stable_ids_and_lead_to_each_other(board):
    name = next(name for name, other in DASHBOARDS.items() if other is board)
    assert board["uid"] == f"jobwire-{name}"
    assert "jobwire" in board["tags"]
    [link] = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards",
        ["jobwire"],
        True,
        True,
    )


def test_series_that_are_recorded_are_those_that_are_read():
    read = {
        name
        for query in [*QUERIES.values(), *(alert["expr"] for alert in ALERTS.values()), *RECORDS.values()]
        for name in names(query)
    }
    assert {name for name in read if ":" in name} == set(RECORDS)


OF_THE_STREAM = re.compile(
    r"jobwire_(events_received_total|received_bytes_total|job_events_total"
    r"|tail_sequence|stream_(sequence|first_sequence|bytes|consumers))"
)


@queries
def test_what_every_gateway_counts_of_one_stream_is_not_added_up(query):
    """A sum over gateways would tell of as many events as there are gateways."""
    for place in OF_THE_STREAM.finditer(query):
        around = re.findall(r"\b(sum|max|min|avg|count)\b", query[: place.start()])
        assert not around or around[-1] in {"max", "min"}

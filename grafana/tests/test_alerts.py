"""Alerts: what each one says and leads to, and by promtool when it fires and when it does not."""

import re
import subprocess

import pytest
import yaml
from project import ALERTS, GRAFANA, PANELS, RECORDS, ROOT, RULE_FILES, program

# By alert: when it `fires`, with what `labels` beside the severity, and when it is `silent`. Each scenario has series
# with one value a minute in the notation of promtool, and the minute that is looked `at`. All values are text here:
# 0x10, which is eleven times 0 to promtool, is a number to YAML.
SCENARIOS = {
    name: scenario
    for path in sorted((GRAFANA / "tests" / "scenarios").glob("*.yaml"))
    for name, scenario in yaml.load(path.read_text(), yaml.BaseLoader).items()
}
RUNBOOKS = ROOT / "docs" / "runbooks"


def promtool(*arguments, **options):
    done = subprocess.run(
        [program("PROMTOOL"), *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_rules():
    promtool("check", "rules", *RULE_FILES)


def test_no_two_rules_have_one_name():
    names = [name for path in RULE_FILES for name in re.findall(r"- (?:alert|record): (\S+)", path.read_text())]
    assert len(names) == len(set(names)) == len(ALERTS) + len(RECORDS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_tells_what_it_means_and_where_to_look(name):
    alert = ALERTS[name]
    notes = alert["annotations"]
    assert re.fullmatch(r"Jobwire[A-Z][A-Za-z]+", name)
    assert alert["labels"].keys() == {"severity"} and alert["labels"]["severity"] in {"critical", "warning"}
    assert notes.keys() == {"summary", "description", "runbook_url", "__dashboardUid__", "__panelId__"}
    assert len(notes["summary"]) < 120 and not notes["summary"].endswith(".")
    assert len(notes["description"]) > 60 and notes["description"].endswith(".")
    panel = f"{notes['__dashboardUid__'].removeprefix('jobwire-')}/{notes['__panelId__']}"
    assert notes["runbook_url"] in PANELS[panel]["description"], f"{panel} does not lead to the runbook"


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_runbook_that_knows_it(name):
    page = ROOT / ALERTS[name]["annotations"]["runbook_url"]
    text = page.read_text()
    assert name in text.splitlines()[0] + text.splitlines()[2], f"{page} does not begin with {name}"
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert f"\n{heading}\n" in text, f"{page} lacks {heading}"
    assert len(text.splitlines()) <= 60


def test_every_runbook_belongs_to_an_alert():
    wanted = {ALERTS[name]["annotations"]["runbook_url"].rpartition("/")[2] for name in ALERTS}
    assert {page.name for page in RUNBOOKS.glob("*.md")} == wanted | {"README.md"}
    assert set(re.findall(r"\]\((\S+\.md)\)", (RUNBOOKS / "README.md").read_text())) >= wanted


def test_every_alert_has_scenarios():
    assert SCENARIOS.keys() == ALERTS.keys()
    assert all(scenario["silent"] for scenario in SCENARIOS.values())


def promtool_case(name, title, scenario, expected):
    return {
        "name": f"{name}: {title}",
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in scenario["series"].items()],
        "alert_rule_test": [{"eval_time": scenario["at"], "alertname": name, "exp_alerts": expected}],
    }


def cases(name):
    scenario = SCENARIOS[name]
    labels = {**scenario["fires"].get("labels", {}), **ALERTS[name]["labels"]}
    fired = {"exp_labels": labels, "exp_annotations": {"summary": scenario["fires"]["summary"]}}
    return [
        promtool_case(name, "fires", scenario["fires"], [fired]),
        *(promtool_case(name, title, silent, []) for title, silent in scenario["silent"].items()),
    ]


@pytest.fixture(scope="module")
def rules_with_summaries(tmp_path_factory):
    """The rules with no annotation but the summary: promtool compares all there are, and scenarios tell no more."""
    folder = tmp_path_factory.mktemp("rules")
    for path in RULE_FILES:
        content = yaml.safe_load(path.read_text())
        for rule in (rule for group in content["groups"] for rule in group["rules"] if "alert" in rule):
            rule["annotations"] = {"summary": rule["annotations"]["summary"]}
        (folder / path.name).write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.stem)
def test_an_alert_fires_when_it_should_and_is_silent_when_not(path, rules_with_summaries):
    names = [rule for rule in ALERTS if f"alert: {rule}\n" in path.read_text()]
    test = {
        "rule_files": [path.name],
        "evaluation_interval": "1m",
        "tests": [case for name in names for case in cases(name)],
    }
    file = rules_with_summaries / f"test-{path.name}"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", file.name, cwd=rules_with_summaries)

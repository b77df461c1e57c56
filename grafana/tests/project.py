"""What is under test: dashboards and rules, read from their files."""

import json
import os
from pathlib import Path

import yaml

GRAFANA = Path(__file__).resolve().parents[1]
ROOT = GRAFANA.parent
RULE_FILES = sorted((GRAFANA / "alerts").glob("*.yaml"))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}


def program(variable):
    """A program that there is no testing without."""
    path = os.environ.get(variable, "")
    if not path or not os.access(path, os.X_OK):
        raise RuntimeError(f"set {variable} to an executable; it is {path!r}")
    return path


def rules(path):
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for path in RULE_FILES for rule in rules(path) if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for path in RULE_FILES for rule in rules(path) if "record" in rule}
PANELS = {
    f"{name}/{panel['id']}": panel
    for name, board in DASHBOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
}
QUERIES = {
    f"{place} {panel['title']}: {target['legendFormat']}": target["expr"]
    for place, panel in PANELS.items()
    for target in panel["targets"]
}


def substituted(query, rate_interval="20s", reach="2m"):
    """A panel's query as Grafana sends it when all is chosen."""
    for variable, value in {
        "$__rate_interval": rate_interval,
        "$__range": reach,
        '"$job"': '".+"',
        '"$instance"': '".+"',
    }.items():
        query = query.replace(variable, value)
    return query

"""Objects of kinds that other projects define."""

import json
import subprocess

import pytest
from chart import ROOT, with_nats
from kubernetes_schemas import is_custom

# Those schemas take keys that do not exist, so the keys are told here.
ENDPOINT = {"port", "path", "interval", "scrapeTimeout", "relabelings", "metricRelabelings"}
KEYS = {
    "ServiceMonitor": {"namespaceSelector", "selector", "endpoints"},
    "PrometheusRule": {"groups"},
    "HTTPRoute": {"parentRefs", "hostnames", "rules"},
}
RULE = {"backendRefs", "matches", "filters", "timeouts"}


def refusals(objects):
    result = subprocess.run(
        ["node", ROOT / "helm" / "custom-kinds.mjs"],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def objects(every_release):
    found = [item for release in every_release for item in release.objects if is_custom(item)]
    return [item for item in found if item["kind"] != "Stream"]


def test_their_schemas_take_them(objects):
    assert {item["kind"] for item in objects} >= {"ServiceMonitor", "HTTPRoute"}
    assert [text for text in refusals(objects) if text] == []


def test_they_have_no_key_that_does_not_exist(objects):
    for item in objects:
        assert set(item["spec"]) <= KEYS[item["kind"]]
        assert all(set(part) <= ENDPOINT for part in item["spec"].get("endpoints", []))
        if item["kind"] == "HTTPRoute":
            assert all(set(part) <= RULE for part in item["spec"]["rules"])


WRONG = [
    ({"serviceMonitor": {"enabled": True, "relabelings": [{"action": "explode"}]}}, "ServiceMonitor"),
    (
        {
            "httpRoute": {
                "enabled": True,
                "parentRefs": [{"name": "a"}],
                "matches": [{"path": {"type": "Glob"}}],
            }
        },
        "HTTPRoute",
    ),
]


@pytest.mark.parametrize("values, kind", WRONG, ids=[kind for _, kind in WRONG])
def test_they_would_refuse_what_is_wrong(chart, values, kind):
    (told,) = refusals([chart.render(with_nats(**values)).one(kind)])
    assert told and told.startswith(kind)

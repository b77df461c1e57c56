"""The chart as Helm takes it: lint, package, versions, lock."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib

import helm_python as helm
import pytest
import yaml
from chart import CHART, MATRIX, ROOT, copy_of_the_chart, values_of

ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())


@pytest.mark.parametrize("path", MATRIX, ids=lambda path: path.stem)
def test_helm_finds_nothing_to_warn_of(chart, path):
    report = helm.lint(chart.place, values_of(path), strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_the_chart_can_be_packaged_with_its_dependency(chart, tmp_path):
    archive = helm.package(chart.place, destination=tmp_path)
    packaged = helm.Chart.load(archive)
    assert [dependency["name"] for dependency in packaged.dependencies] == ["nats"]


def test_the_archive_holds_nothing_hidden(tmp_path):
    place = copy_of_the_chart(tmp_path)
    (place / ".environment").write_text("PASSWORD=x")
    packaged = helm.Chart.load(helm.package(place, destination=tmp_path))
    assert [file["name"] for file in packaged.files if file["name"].startswith(".env")] == []


def test_it_can_be_part_of_another_chart(tmp_path):
    """Whose values bring `enabled`, for the condition, and globals of others."""
    part = copy_of_the_chart(tmp_path / "parts")
    whole = tmp_path / "whole"
    (whole / "charts").mkdir(parents=True)
    part.rename(whole / "charts" / "jobwire")
    needs = [{"name": "jobwire", "version": ABOUT["version"], "condition": "jobwire.enabled"}]
    about = {"apiVersion": "v2", "name": "whole", "version": "1.0.0", "dependencies": needs}
    (whole / "Chart.yaml").write_text(yaml.safe_dump(about))
    values = {
        "global": {"other": {"x": 1}, "imageRegistry": "g.example"},
        "jobwire": {"enabled": True, "nats": {"url": "nats://n"}},
    }
    with helm.Chart.load(whole) as chart:
        rendered = chart.render(values)
    assert "g.example/jobwire" in rendered["whole/charts/jobwire/templates/deployment.yaml"]


def test_chart_and_program_have_one_version():
    program = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    assert (ABOUT["version"], ABOUT["appVersion"]) == (program, program)


def test_the_lock_is_that_of_the_dependencies():
    """As Helm itself computes it: a hash over what is asked for and what was found."""
    lock = yaml.safe_load((CHART / "Chart.lock").read_text())
    order = ("name", "version", "repository", "condition", "alias")
    asked = [{key: item[key] for key in order if key in item} for item in ABOUT["dependencies"]]
    found = [{key: item[key] for key in order[:3]} for item in lock["dependencies"]]
    text = json.dumps([asked, found], separators=(",", ":"))
    assert lock["digest"] == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_the_table_of_values_is_current():
    command = [sys.executable, ROOT / "helm" / "values-table", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


DOCUMENTS = [ROOT / "docs" / "kubernetes.md", ROOT / "docs" / "start" / "sre.md", CHART / "README.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_of_values_can_be_rendered(chart, document):
    examples = re.findall(r"```yaml[^\n]*\n(.*?)```", document.read_text(), re.DOTALL)
    values = [yaml.safe_load(text.replace("sha256:…", "sha256:" + "0" * 64)) for text in examples]
    ours = [part for part in values if "nats" in part]
    assert ours
    for part in ours:
        assert chart.render(part).all("Job")

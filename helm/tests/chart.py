"""The chart as the tests see it: loaded once, rendered into objects."""

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import helm_python as helm
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "jobwire"
RELEASE, NAMESPACE = "demo", "apps"
MATRIX = sorted((Path(__file__).parent / "values").glob("*.yaml"))

# Stands in for the nats chart, whose archive comes from the network: the same name, version and
# name of its Service.
STAND_IN = """\
apiVersion: v1
kind: Service
metadata:
  name: {{ .Release.Name }}-{{ .Chart.Name }}
spec:
  selector: {app.kubernetes.io/name: nats}
  ports: [{name: nats, port: 4222}]
"""


def copy_of_the_chart(place: Path) -> Path:
    """The chart with its dependency in place, as `helm dependency build` would leave it."""
    chart = place / "jobwire"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("charts"))
    dependency = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"][0]
    nats = chart / "charts" / "nats"
    (nats / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": dependency["name"], "version": dependency["version"]}
    (nats / "Chart.yaml").write_text(yaml.safe_dump(about))
    (nats / "templates" / "service.yaml").write_text(STAND_IN)
    return chart


@dataclass
class Release:
    """What one set of values renders to."""

    objects: list
    notes: str

    def all(self, kind):
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind, name=None):
        found = [item for item in self.all(kind) if name in (None, item["metadata"]["name"])]
        assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}"
        return found[0]

    def gateway(self):
        return self.one("Deployment")["spec"]["template"]

    def pods(self):
        """Every pod that the release would start, by the name of what starts it."""
        for item in self.objects:
            if item["kind"] in ("Deployment", "Job"):
                yield item["metadata"]["name"], item["spec"]["template"]
            elif item["kind"] == "Pod":
                yield item["metadata"]["name"], item

    def toml(self):
        return self.one("ConfigMap", self.one("Deployment")["metadata"]["name"])["data"]["jobwire.toml"]


class Chart:
    """The chart at a place, rendered once for each set of values."""

    def __init__(self, place: Path):
        self.place = place

    @property
    def schema(self):
        return json.loads((self.place / "values.schema.json").read_text())

    def render(self, values=None, **options) -> Release:
        return self._render(json.dumps(values or {}), json.dumps(options))

    @cache
    def _render(self, values, options):
        options = {"name": RELEASE, "namespace": NAMESPACE, **json.loads(options)}
        # Rendering takes a dependency that is off out of the chart, for good: it is loaded each time.
        with helm.Chart.load(self.place) as loaded:
            files = loaded.render(json.loads(values), **options)
        notes = next(text for path, text in files.items() if path == "jobwire/templates/NOTES.txt")
        manifests = (text for path, text in files.items() if not path.endswith("NOTES.txt"))
        objects = [item for text in manifests for item in yaml.load_all(text, StrictLoader) if item]
        return Release(objects, notes)


class StrictLoader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: 1.1, and no key stands twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{twice} stand twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def values_of(path: Path):
    return yaml.safe_load(path.read_text())


def with_nats(**values):
    """Values, and the one that has no default."""
    values.setdefault("nats", {}).setdefault("url", "nats://nats:4222")
    return values

"""Whether Kubernetes would take what is rendered, for each file in values/."""

import copy
import re

import pytest
from kubernetes_schemas import NEWEST, VERSIONS, is_custom, refusal


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(release, version):
    told = [refusal(item, version) for item in release.objects if not is_custom(item)]
    assert [text for text in told if text] == []


def test_the_schemas_refuse_a_key_that_is_misspelt(chart):
    deployment = copy.deepcopy(chart.render({"nats": {"url": "nats://n:4222"}}).one("Deployment"))
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    assert "livenessprobe" in refusal(deployment, NEWEST)


def test_names_are_valid_and_stand_once(release):
    names = [(item["kind"], item["metadata"]["name"]) for item in release.objects]
    assert len(set(names)) == len(names)
    for kind, name in names:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name), (kind, name)


def test_every_object_says_what_it_belongs_to(release):
    for item in release.objects:
        if "-more" in item["metadata"]["name"] or "-text" in item["metadata"]["name"]:
            continue  # extraObjects are what they were given as.
        if item["metadata"]["name"].endswith("nats-server"):
            continue  # The subchart's.
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "demo", item["metadata"]
        assert all(len(value) <= 63 for value in labels.values())


def test_services_lead_to_the_gateway_by_ports_it_has(release):
    pod = release.gateway()
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    services = [item for item in release.all("Service") if "nats-server" not in item["metadata"]["name"]]
    assert len(services) == 2
    for service in services:
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_no_service_leads_to_pods_of_tasks(release):
    tasks = [pod for name, pod in release.pods() if name != release.one("Deployment")["metadata"]["name"]]
    for service in release.all("Service"):
        for pod in tasks:
            assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_selectors_of_policies_and_budgets_are_those_of_the_gateway(release):
    labels = release.gateway()["metadata"]["labels"]
    name = release.one("Deployment")["metadata"]["name"]
    selectors = [
        item["spec"]["selector"] for item in release.all("PodDisruptionBudget") + release.all("Deployment")
    ]
    selectors += [
        item["spec"]["podSelector"]
        for item in release.all("NetworkPolicy")
        if item["metadata"]["name"] == name
    ]
    selectors += [
        constraint["labelSelector"]
        for constraint in release.gateway()["spec"].get("topologySpreadConstraints", [])
    ]
    for selector in selectors:
        assert selector["matchLabels"].items() <= labels.items()


def test_what_is_mounted_is_there(release):
    for name, pod in release.pods():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        mounts = [mount for container in pod["spec"]["containers"] for mount in container["volumeMounts"]]
        assert {mount["name"] for mount in mounts} == volumes, name
        assert len({mount["mountPath"] for mount in mounts}) == len(mounts), name


def test_routes_from_outside_lead_to_the_service_for_clients(release):
    service = release.one("Service", release.one("Deployment")["metadata"]["name"])
    port = service["spec"]["ports"][0]
    for ingress in release.all("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                assert (backend["name"], backend["port"]["name"]) == (
                    service["metadata"]["name"],
                    port["name"],
                )
    for route in release.all("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                assert (backend["name"], backend["port"]) == (service["metadata"]["name"], port["port"])


def test_hooks_need_nothing_that_is_installed_after_them(release):
    for job in release.all("Job"):
        hook = job["metadata"].get("annotations", {}).get("helm.sh/hook")
        if hook is None:
            continue
        spec = job["spec"]["template"]["spec"]
        assert "serviceAccountName" not in spec
        maps = {volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume}
        for name in maps:
            annotations = release.one("ConfigMap", name)["metadata"]["annotations"]
            assert annotations["helm.sh/hook"] == hook
            assert int(annotations["helm.sh/hook-weight"]) < int(
                job["metadata"]["annotations"]["helm.sh/hook-weight"]
            )

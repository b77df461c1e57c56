"""Pod Security "restricted" (https://kubernetes.io/docs/concepts/security/pod-security-standards/),
each rule by itself, and what we ask for beyond it."""

import copy

import pytest

PROFILES = ("RuntimeDefault", "Localhost")
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"] + spec.get("ephemeralContainers", [])


def security(container):
    return container.get("securityContext", {})


def violations(pod):
    """The rules that a pod breaks."""
    spec, annotations = pod["spec"], pod["metadata"].get("annotations", {})
    own = spec.get("securityContext", {})
    each = [security(container) for container in containers(spec)]
    handlers = [
        handler
        for container in containers(spec)
        for source in (container, container.get("lifecycle", {}))
        for key in ("livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop")
        for handler in [source.get(key, {})]
    ]
    rules = {
        "host processes": any(part.get("windowsOptions", {}).get("hostProcess") for part in [own, *each]),
        "host namespaces": any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
        "privileged": any(part.get("privileged") for part in each),
        "host ports": any(
            port.get("hostPort") for part in containers(spec) for port in part.get("ports", [])
        ),
        "host probes": any(
            handler.get(kind, {}).get("host") for handler in handlers for kind in ("httpGet", "tcpSocket")
        ),
        "AppArmor": any(key.startswith("container.apparmor") for key in annotations)
        or any(part.get("appArmorProfile", {}).get("type") == "Unconfined" for part in [own, *each]),
        "SELinux": any("seLinuxOptions" in part for part in [own, *each]),
        "proc mount": any(part.get("procMount", "Default") != "Default" for part in each),
        "sysctls": bool(own.get("sysctls")),
        "volume types": any(set(volume) - {"name"} - VOLUMES for volume in spec.get("volumes", [])),
        "privilege escalation": any(part.get("allowPrivilegeEscalation") is not False for part in each),
        "non-root": any(part.get("runAsNonRoot", own.get("runAsNonRoot")) is not True for part in each),
        "root user": any(part.get("runAsUser") == 0 for part in [own, *each]),
        "seccomp": any(
            part.get("seccompProfile", own.get("seccompProfile", {})).get("type") not in PROFILES
            for part in each
        ),
        "capabilities": any(part.get("capabilities", {}).get("drop") != ["ALL"] for part in each)
        or any(set(part.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"} for part in each),
    }
    return [rule for rule, broken in rules.items() if broken]


def test_every_pod_is_restricted(release):
    for name, pod in release.pods():
        assert violations(pod) == [], name


def test_no_pod_can_write_or_ask_the_api(release):
    for name, pod in release.pods():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        for container in containers(spec):
            assert security(container)["readOnlyRootFilesystem"] is True, name
            assert all(mount["readOnly"] for mount in container["volumeMounts"]), name
    assert all(account["automountServiceAccountToken"] is False for account in release.all("ServiceAccount"))


def test_the_user_is_a_number_so_that_the_kubelet_can_tell_it_is_not_root(chart):
    for _, pod in chart.render({"nats": {"url": "nats://n:4222"}, "stream": {"manage": "job"}}).pods():
        context = pod["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (65532, 65532, 65532)


def test_the_platform_may_choose_the_user(chart):
    null = {"runAsUser": None, "runAsGroup": None, "fsGroup": None}
    for _, pod in chart.render({"nats": {"url": "nats://n:4222"}, "podSecurityContext": null}).pods():
        assert set(pod["spec"]["securityContext"]) == {"runAsNonRoot", "seccompProfile"}


def set_in(pod, place, value):
    *path, last = place
    for key in path:
        pod = pod[key] if isinstance(key, int) else pod.setdefault(key, {})
    pod[last] = value


CONTAINER = ("spec", "containers", 0)
CONTEXT = (*CONTAINER, "securityContext")
OFFENCES = {
    "host processes": (("spec", "securityContext", "windowsOptions"), {"hostProcess": True}),
    "host namespaces": (("spec", "hostNetwork"), True),
    "privileged": ((*CONTEXT, "privileged"), True),
    "host ports": ((*CONTAINER, "ports"), [{"hostPort": 80}]),
    "host probes": ((*CONTAINER, "livenessProbe"), {"httpGet": {"host": "10.0.0.1"}}),
    "AppArmor": ((*CONTEXT, "appArmorProfile"), {"type": "Unconfined"}),
    "SELinux": (("spec", "securityContext", "seLinuxOptions"), {"user": "root"}),
    "proc mount": ((*CONTEXT, "procMount"), "Unmasked"),
    "sysctls": (("spec", "securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
    "volume types": (("spec", "volumes"), [{"name": "host", "hostPath": {"path": "/"}}]),
    "privilege escalation": ((*CONTEXT, "allowPrivilegeEscalation"), True),
    "non-root": ((*CONTEXT, "runAsNonRoot"), False),
    "root user": (("spec", "securityContext", "runAsUser"), 0),
    "seccomp": ((*CONTEXT, "seccompProfile"), {"type": "Unconfined"}),
    "capabilities": ((*CONTEXT, "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
}


@pytest.mark.parametrize("rule", OFFENCES)
def test_each_rule_would_be_noticed(chart, rule):
    pod = copy.deepcopy(chart.render({"nats": {"url": "nats://n:4222"}}).gateway())
    set_in(pod, *OFFENCES[rule])
    assert violations(pod) == [rule]

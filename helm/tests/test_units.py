"""What values do, one sentence each."""

import json
import tomllib

import pytest
import yaml
from chart import CHART, ROOT, Chart, copy_of_the_chart, with_nats

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
DEFINITION = json.loads((ROOT / "nats" / "stream.json").read_text())
HOST = {"host": "jobs.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]}


def container(release):
    return release.gateway()["spec"]["containers"][0]


def environment(part):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in part.get("env", [])}


# Stopping and rolling out


def test_a_pod_sleeps_before_it_is_told_to_stop_and_needs_no_shell_for_it(chart):
    release = chart.render(with_nats(preStopSleepSeconds=7))
    assert container(release)["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}


def test_without_a_sleep_there_is_no_hook(chart):
    assert "lifecycle" not in container(chart.render(with_nats(preStopSleepSeconds=0)))


@pytest.mark.parametrize(
    "drain, grace", [("20s", 35), ("1m 30s", 105), ("1m30s", 105), ("45s 1ms", 61), ("0s", 15), ("500ms", 16)]
)
def test_a_grace_period_that_just_suffices_is_taken(chart, drain, grace):
    values = with_nats(config={"drain": drain}, terminationGracePeriodSeconds=grace)
    assert chart.render(values).gateway()["spec"]["terminationGracePeriodSeconds"] == grace


def test_a_rollout_never_has_fewer_pods_than_wanted(chart):
    for surge in (1, 3, "25%"):
        strategy = chart.render(with_nats(rollingUpdate={"maxSurge": surge})).one("Deployment")["spec"][
            "strategy"
        ]
        assert strategy == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": surge},
        }


def test_a_changed_configuration_is_a_new_pod_and_an_equal_one_is_not(chart):
    def checksum(**config):
        return chart.render(with_nats(config=config)).gateway()["metadata"]["annotations"]["checksum/config"]

    assert checksum(window="256MiB") != checksum()
    assert checksum(window="128MiB") == checksum()


def test_pods_are_spread_over_zones_and_nodes(chart):
    spread = chart.render(with_nats()).gateway()["spec"]["topologySpreadConstraints"]
    assert [part["topologyKey"] for part in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]


def test_one_pod_may_be_away_and_those_that_never_were_ready_do_not_count(chart):
    spec = chart.render(with_nats()).one("PodDisruptionBudget")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert "minAvailable" not in spec
    spec = chart.render(with_nats(podDisruptionBudget={"minAvailable": 1})).one("PodDisruptionBudget")["spec"]
    assert spec["minAvailable"] == 1 and "maxUnavailable" not in spec


# Autoscaling


def test_the_autoscaler_owns_the_number_of_pods(chart):
    assert chart.render(with_nats(replicaCount=4)).one("Deployment")["spec"]["replicas"] == 4
    release = chart.render(with_nats(autoscaling={"enabled": True}))
    assert "replicas" not in release.one("Deployment")["spec"]


def test_it_scales_by_connections_and_cpu_up_fast_and_down_slowly(chart):
    spec = chart.render(with_nats(autoscaling={"enabled": True})).one("HorizontalPodAutoscaler")["spec"]
    connections, cpu = spec["metrics"]
    assert connections["pods"] == {
        "metric": {"name": "jobwire_connections"},
        "target": {"type": "AverageValue", "averageValue": "12000"},
    }
    assert cpu["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] == 0 and down["stabilizationWindowSeconds"] >= 300
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]


# NATS


def test_an_identity_is_mounted_from_its_secret_and_nothing_else_of_it(chart):
    release = chart.render(with_nats(nats={"credentials": {"secret": {"name": "s", "key": "a.creds"}}}))
    assert environment(container(release))["NATS_CREDS"] == "/etc/jobwire/nats-credentials/a.creds"
    volume = next(part for part in release.gateway()["spec"]["volumes"] if part["name"] == "nats-credentials")
    assert volume["secret"] == {
        "secretName": "s",
        "defaultMode": 0o440,
        "items": [{"key": "a.creds", "path": "a.creds"}],
    }


def test_user_and_password_come_from_a_secret(chart):
    release = chart.render(with_nats(nats={"user": {"secret": {"name": "s"}}}))
    given = environment(container(release))
    assert given["NATS_USER"] == {"secretKeyRef": {"name": "s", "key": "username"}}
    assert given["NATS_PASSWORD"] == {"secretKeyRef": {"name": "s", "key": "password"}}


def test_no_value_of_any_secret_is_in_an_object(every_release):
    for release in every_release:
        assert release.all("Secret") == []


def test_the_job_has_its_own_rights_and_the_gateway_has_not_got_them(chart):
    values = with_nats(
        nats={"credentials": {"secret": {"name": "gateway"}}, "inboxPrefix": "_INBOX_gateway"},
        stream={
            "manage": "job",
            "job": {"credentials": {"secret": {"name": "operator"}}, "inboxPrefix": "_INBOX_operator"},
        },
    )
    release = chart.render(values)
    job = release.one("Job")["spec"]["template"]["spec"]
    assert "operator" in str(job) and "'gateway'" not in str(job["volumes"])
    assert environment(job["containers"][0])["NATS_INBOX_PREFIX"] == "_INBOX_operator"
    assert "operator" not in str(release.gateway())


def test_a_trial_reaches_the_server_it_starts(chart):
    release = chart.render({"nats": {"enabled": True}, "stream": {"manage": "job"}})
    service = release.one("Service", "demo-nats-server")["metadata"]["name"]
    for _, pod in release.pods():
        assert environment(pod["spec"]["containers"][0])["NATS_URL"] == f"nats://{service}:4222"


def test_without_a_trial_there_is_no_server(chart):
    assert [
        item for item in chart.render(with_nats()).objects if "nats-server" in item["metadata"]["name"]
    ] == []


@pytest.mark.parametrize(
    "url, ports",
    [
        ("nats://a", [4222]),
        ("nats://a:4333,tls://b:4444", [4333, 4444]),
        ("nats://[fd00::4]", [4222]),
        ("nats://[fd00::4]:4223/,nats://b", [4223, 4222]),
    ],
)
def test_the_gateway_may_reach_nats_at_the_ports_of_its_address(chart, url, ports):
    policy = chart.render({"nats": {"url": url}}).one("NetworkPolicy", "demo-jobwire")
    assert [port["port"] for port in policy["spec"]["egress"][1]["ports"]] == ports


# The stream


def test_the_stream_has_one_owner(chart):
    owners = {
        manage: {item["kind"] for item in chart.render(with_nats(stream={"manage": manage})).objects}
        & {"Job", "Stream"}
        for manage in ("none", "job", "nack")
    }
    assert owners == {"none": set(), "job": {"Job"}, "nack": {"Stream"}}


def test_the_job_is_done_before_the_gateway_changes(chart):
    job = chart.render(with_nats(stream={"manage": "job"})).one("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_in_a_trial_the_job_waits_for_the_server_instead(chart):
    values = {"nats": {"enabled": True}, "stream": {"manage": "job"}}
    first, second = (chart.render(values, revision=number).one("Job") for number in (1, 2))
    assert "annotations" not in first["metadata"]
    assert first["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    # A Job cannot be changed.
    assert first["metadata"]["name"] != second["metadata"]["name"]


def test_nack_is_given_every_value_in_its_own_form(chart):
    values = with_nats(stream={"manage": "nack", "maxAge": "2d", "duplicateWindow": "1m 30s", "maxBytes": -1})
    stream = chart.render(values).one("Stream")
    assert stream["apiVersion"] == "jetstream.nats.io/v1beta2"
    assert stream["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert stream["spec"] == {
        "name": "JOBS",
        "description": DEFINITION["description"],
        "subjects": ["jobs.>"],
        "retention": "limits",
        "storage": "file",
        "replicas": 1,
        "discard": "old",
        "maxAge": "48h",
        "maxBytes": -1,
        "maxMsgs": -1,
        "maxMsgsPerSubject": -1,
        "maxMsgSize": 532480,
        "maxConsumers": 100000,
        "duplicateWindow": "90s",
        "allowDirect": True,
        "allowRollup": False,
        "denyDelete": True,
        "denyPurge": True,
        "preventDelete": True,
    }


# Access


def test_the_admin_port_is_on_no_service_for_clients(every_release):
    for release in every_release:
        admin = [item for item in release.all("Service") if item["metadata"]["name"].endswith("-admin")]
        assert len(admin) == 1 and admin[0]["spec"]["type"] == "ClusterIP"
        for service in release.all("Service"):
            targets = {port.get("targetPort") for port in service["spec"]["ports"]}
            assert ("admin" in targets) == (service in admin)


def test_gateways_that_are_not_ready_are_scraped(chart):
    assert (
        chart.render(with_nats()).one("Service", "demo-jobwire-admin")["spec"]["publishNotReadyAddresses"]
        is True
    )


def test_outside_of_the_cluster_nobody_reaches_the_admin_port(chart):
    ingress = chart.render(with_nats()).one("NetworkPolicy", "demo-jobwire")["spec"]["ingress"]
    clients, admin = ingress
    assert (clients["ports"][0]["port"], "from" in clients) == (8080, False)
    assert (admin["ports"][0]["port"], admin["from"]) == (8081, [{"namespaceSelector": {}}])


def test_whoever_may_be_a_client_the_test_of_the_release_may(chart):
    clients = [{"namespaceSelector": {"matchLabels": {"team": "web"}}}]
    release = chart.render(with_nats(networkPolicy={"clients": clients}))
    first, test = release.one("NetworkPolicy", "demo-jobwire")["spec"]["ingress"][0]["from"]
    assert first == clients[0]
    assert test["podSelector"]["matchLabels"].items() <= release.one("Pod")["metadata"]["labels"].items()


def test_nobody_means_nobody(chart):
    policy = chart.render(with_nats(networkPolicy={"monitoring": []})).one("NetworkPolicy", "demo-jobwire")
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]] == [8080]


@pytest.mark.parametrize(
    "url, port", [("https://a.example/k", 443), ("http://a.example", 80), ("https://a.example:8443/k", 8443)]
)
def test_the_gateway_may_reach_the_issuers_keys(chart, url, port):
    policy = chart.render(with_nats(auth={"enabled": True, "jwks": {"url": url}})).one(
        "NetworkPolicy", "demo-jobwire"
    )
    assert policy["spec"]["egress"][2] == {"ports": [{"port": port, "protocol": "TCP"}]}


def test_time_outs_of_a_route_are_only_there_when_wanted(chart):
    route = {"enabled": True, "parentRefs": [{"name": "public"}]}
    assert "timeouts" not in chart.render(with_nats(httpRoute=route)).one("HTTPRoute")["spec"]["rules"][0]
    timed = {**route, "timeouts": {"request": "0s"}}
    assert chart.render(with_nats(httpRoute=timed)).one("HTTPRoute")["spec"]["rules"][0]["timeouts"] == {
        "request": "0s"
    }


def test_with_tls_everything_calls_it_https(chart):
    release = chart.render(
        with_nats(
            tls={"enabled": True, "secretName": "s"},
            ingress={
                "enabled": True,
                "hosts": [HOST],
            },
        )
    )
    assert container(release)["ports"][0]["name"] == "https"
    assert release.one("Service", "demo-jobwire")["spec"]["ports"][0]["targetPort"] == "https"
    backend = release.one("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]
    assert backend["service"]["port"]["name"] == "https"


# Image


@pytest.mark.parametrize(
    "image, reference",
    [
        ({}, f"jobwire:{VERSION}"),
        ({"tag": "2.0.0"}, "jobwire:2.0.0"),
        ({"registry": "r.example", "repository": "team/jobwire"}, f"r.example/team/jobwire:{VERSION}"),
        ({"tag": "2.0.0", "digest": "sha256:" + "0" * 64}, "jobwire@sha256:" + "0" * 64),
    ],
)
def test_the_image_is_named_by_registry_tag_or_digest(chart, image, reference):
    release = chart.render(with_nats(image=image, stream={"manage": "job"}))
    assert {pod["spec"]["containers"][0]["image"] for _, pod in release.pods()} == {reference}


def test_a_global_registry_wins(chart):
    values = with_nats(image={"registry": "r.example"}, **{"global": {"imageRegistry": "g.example"}})
    assert container(chart.render(values))["image"] == f"g.example/jobwire:{VERSION}"


def test_global_and_own_pull_secrets_are_both_used(chart):
    values = with_nats(imagePullSecrets=[{"name": "a"}], stream={"manage": "job"})
    values["global"] = {"imagePullSecrets": [{"name": "b"}]}
    for _, pod in chart.render(values).pods():
        assert pod["spec"]["imagePullSecrets"] == [{"name": "b"}, {"name": "a"}]


# Monitoring


def test_nothing_needs_kinds_that_a_cluster_may_not_have(chart):
    groups = {item["apiVersion"].split("/")[0] for item in chart.render(with_nats()).objects}
    assert groups == {"v1", "apps", "policy", "networking.k8s.io"}


def test_the_monitor_finds_the_admin_service_and_no_other(chart):
    release = chart.render(with_nats(serviceMonitor={"enabled": True, "namespace": "monitoring"}))
    spec = release.one("ServiceMonitor")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    found = [item for item in release.all("Service") if wanted <= item["metadata"]["labels"].items()]
    assert [item["metadata"]["name"] for item in found] == ["demo-jobwire-admin"]
    assert spec["endpoints"][0]["port"] in {port["name"] for port in found[0]["spec"]["ports"]}
    assert spec["namespaceSelector"] == {"matchNames": ["apps"]}


MONITORING = with_nats(
    prometheusRule={"enabled": True, "labels": {"release": "monitoring"}},
    dashboards={"enabled": True, "namespace": "grafana"},
)


def chart_with_files(place, alerts, dashboards):
    copy = copy_of_the_chart(place)
    for directory, files in (("alerts", alerts), ("dashboards", dashboards)):
        for old in (copy / "files" / directory).iterdir():
            old.unlink()
        for name, text in files.items():
            (copy / "files" / directory / name).write_text(text)
    return Chart(copy)


def test_without_files_there_are_no_rules_and_no_dashboards(tmp_path):
    release = chart_with_files(tmp_path, {}, {}).render(MONITORING)
    assert release.all("PrometheusRule") == []
    assert [item["metadata"]["name"] for item in release.all("ConfigMap")] == ["demo-jobwire"]


def test_rules_and_dashboards_arrive_as_they_were_written(tmp_path):
    rules = """\
groups:
  - name: a
    rules:
      - alert: A
        expr: up == 0
        annotations:
          summary: "{{ $labels.instance }} is down"
"""
    dashboard = '{"title": "A", "legendFormat": "{{ instance }}"}\n'
    release = chart_with_files(
        tmp_path, {"gate_way.yaml": rules, "b.yaml": rules}, {"over_view.json": dashboard}
    ).render(MONITORING)
    made = {item["metadata"]["name"]: item for item in release.all("PrometheusRule")}
    assert set(made) == {"demo-jobwire-gate-way", "demo-jobwire-b"}
    assert all(item["spec"] == yaml.safe_load(rules) for item in made.values())
    assert made["demo-jobwire-b"]["metadata"]["labels"]["release"] == "monitoring"
    shown = release.one("ConfigMap", "demo-jobwire-dashboard-over-view")
    assert shown["data"] == {"over_view.json": dashboard}
    assert shown["metadata"]["namespace"] == "grafana"
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert shown["metadata"]["annotations"] == {"grafana_folder": "jobwire"}


def test_runbooks_are_where_the_operator_has_them(chart):
    release = chart.render({**MONITORING, "runbooks": "https://git.example.com/jobwire/docs/runbooks"})
    groups = [group for item in release.all("PrometheusRule") for group in item["spec"]["groups"]]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    addresses = {rule["annotations"]["runbook_url"] for rule in rules}
    assert "https://git.example.com/jobwire/docs/runbooks/tail-not-ready.md" in addresses
    assert all(address.startswith("https://git.example.com/jobwire/docs/runbooks/") for address in addresses)
    shown = release.one("ConfigMap", "demo-jobwire-dashboard-nats")["data"]["nats.json"]
    assert "Runbooks: https://git.example.com/jobwire/docs/runbooks/tail-not-ready.md" in shown


def test_every_rule_and_dashboard_of_the_project_is_in_the_chart(chart):
    release = chart.render(MONITORING)
    project = CHART.parents[1] / "grafana"
    assert len(release.all("PrometheusRule")) == len(list((project / "alerts").glob("*.yaml")))
    assert len(release.all("ConfigMap")) == 1 + len(list((project / "dashboards").glob("*.json")))


# The rest


def test_the_configuration_is_what_was_given_to_the_letter(chart):
    config = {
        "log": 'a"b\\c\td<e>&é',
        "max_connections": 10_000_000,
        "allowed_origins": ["https://a.example", "*"],
        "publish": False,
    }
    told = tomllib.loads(chart.render(with_nats(config=config)).toml())
    assert {key: told[key] for key in config} == config


def test_what_is_not_given_is_left_to_the_gateway(chart):
    told = tomllib.loads(chart.render(with_nats()).toml())
    assert "publish" not in told and "auth" not in told and "tls" not in told and "route" not in told


def test_the_test_pod_has_the_environment_of_the_gateway(chart):
    release = chart.render(with_nats(extraEnv=[{"name": "JOBWIRE_LOG", "value": "debug"}]))
    doctor = release.one("Pod")["spec"]["containers"][0]
    assert doctor["args"] == ["doctor", "--format", "text"]
    assert environment(container(release)).items() <= environment(doctor).items()
    assert environment(doctor)["JOBWIRE_URL"] == "http://demo-jobwire.apps.svc:80"


def test_the_test_pod_has_a_token_and_an_environment_of_its_own(chart):
    tests = {
        "kind": "training",
        "token": {"secret": {"name": "watcher", "key": "jwt"}},
        "extraEnv": [{"name": "JOBWIRE_PRODUCER_USER", "value": "training_producer"}],
    }
    release = chart.render(with_nats(tests=tests))
    given = environment(release.one("Pod")["spec"]["containers"][0])
    assert given["JOBWIRE_TOKEN"] == {"secretKeyRef": {"name": "watcher", "key": "jwt"}}
    assert given["JOBWIRE_DOCTOR_KIND"] == "training"
    assert given["JOBWIRE_PRODUCER_USER"] == "training_producer"
    assert not {"JOBWIRE_TOKEN", "JOBWIRE_PRODUCER_USER"} & environment(container(release)).keys()


def test_objects_of_ones_own_are_templates(chart):
    objects = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "{{ .Release.Name }}-x"}},
        "kind: List\nmetadata: {name: '{{ .Values.stream.name }}'}",
    ]
    release = chart.render(with_nats(extraObjects=objects))
    assert release.one("Secret")["metadata"]["name"] == "demo-x"
    assert release.one("List")["metadata"]["name"] == "JOBS"


NOTES = [
    ({}, "port-forward service/demo-jobwire 8080:80"),
    ({}, "jobwire stream apply --nats-url … --stream JOBS --replicas 1"),
    ({}, "helm test demo --namespace apps --logs"),
    ({}, "auth.enabled is false"),
    ({"service": {"type": "LoadBalancer"}}, "get service demo-jobwire -o jsonpath='http://"),
    (
        {"ingress": {"enabled": True, "hosts": [HOST], "tls": [{"hosts": ["jobs.example.com"]}]}},
        "https://jobs.example.com",
    ),
    (
        {"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}], "hostnames": ["jobs.example.com"]}},
        "jobs.example.com, as the Gateway listens",
    ),
    ({"autoscaling": {"enabled": True}}, "/namespaces/apps/pods/*/jobwire_connections"),
    ({"nats": {"enabled": True}}, "for a trial: one server, no users, no TLS"),
]


@pytest.mark.parametrize("values, sentence", NOTES, ids=[sentence for _, sentence in NOTES])
def test_the_notes_say(chart, values, sentence):
    assert sentence in chart.render(with_nats(**values)).notes


def test_the_notes_ask_for_no_stream_that_somebody_makes(chart):
    assert "stream apply" not in chart.render(with_nats(stream={"manage": "job"})).notes

"""What is refused, and with which sentence."""

import helm_python as helm
import pytest
from chart import with_nats

# By the schema: Helm names the place and what it wants there.
BY_SCHEMA = {
    "a key that does not exist": ({"replicas": 2}, "at '': additional properties 'replicas' not allowed"),
    "a nested key that does not exist": (
        {"image": {"name": "x"}},
        "at '/image': additional properties 'name'",
    ),
    "a setting that the gateway has not": (
        {"config": {"windows": "1MiB"}},
        "at '/config': additional properties 'windows'",
    ),
    "a setting that the chart sets": (
        {"config": {"listen": []}},
        "at '/config': additional properties 'listen'",
    ),
    "a route's misspelt key": (
        {"config": {"route": [{"path": "/a", "dialect": "agent", "hearbeat": "1s"}]}},
        "at '/config/route/0': additional properties 'hearbeat'",
    ),
    "an unknown dialect": (
        {"config": {"route": [{"path": "/a", "dialect": "smoke"}]}},
        "at '/config/route/0/dialect'",
    ),
    "a time without a unit": ({"config": {"drain": 20}}, "at '/config/drain': got number, want string"),
    "a time with an unknown unit": ({"config": {"drain": "20 seconds"}}, "at '/config/drain'"),
    "a size that is none": ({"config": {"window": "large"}}, "at '/config/window'"),
    "too many workers": (
        {"config": {"workers": 2000}},
        "at '/config/workers': maximum: got 2,000, want 1,024",
    ),
    "half a connection": ({"config": {"max_connections": 1.5}}, "at '/config/max_connections'"),
    "a password in the address": ({"nats": {"url": "nats://me:secret@nats:4222"}}, "at '/nats/url'"),
    "an address of another kind": ({"nats": {"url": "http://nats:4222"}}, "at '/nats/url'"),
    "root": ({"podSecurityContext": {"runAsUser": 0}}, "at '/podSecurityContext/runAsUser': minimum"),
    "a way to loosen the container": (
        {"podSecurityContext": {"privileged": True}},
        "at '/podSecurityContext': additional properties 'privileged'",
    ),
    "a digest that is cut off": ({"image": {"digest": "sha256:0123"}}, "at '/image/digest'"),
    "two owners of the stream": ({"stream": {"manage": "both"}}, "at '/stream/manage'"),
    "two copies, which cannot vote": ({"stream": {"replicas": 2}}, "at '/stream/replicas'"),
    "a stream's name with a dot": ({"stream": {"name": "a.b"}}, "at '/stream/name'"),
    "a secret's name that is none": (
        {"nats": {"credentials": {"secret": {"name": "A b"}}}},
        "at '/nats/credentials/secret/name'",
    ),
    "a public key from two places": (
        {
            "auth": {
                "publicKeys": [
                    {
                        "algorithm": "ES256",
                        "secret": {"name": "a", "key": "b"},
                        "configMap": {"name": "a", "key": "b"},
                    }
                ]
            }
        },
        "at '/auth/publicKeys/0'",
    ),
    "an unsafe algorithm": (
        {"auth": {"publicKeys": [{"algorithm": "none", "secret": {"name": "a", "key": "b"}}]}},
        "at '/auth/publicKeys/0/algorithm'",
    ),
    "a host name as address to bind": ({"bindAddress": "localhost"}, "at '/bindAddress'"),
    "a rollout that cannot go on": ({"rollingUpdate": {"maxSurge": 0}}, "at '/rollingUpdate/maxSurge'"),
    "a path without a slash": (
        {"ingress": {"hosts": [{"host": "a.example", "paths": [{"path": "x", "pathType": "Prefix"}]}]}},
        "at '/ingress/hosts/0/paths/0/path'",
    ),
    "a label that would break the selectors": (
        {"podLabels": {"app.kubernetes.io/name": "x"}},
        "invalid propertyName 'app.kubernetes.io/name'",
    ),
    "a label that is no text": ({"podLabels": {"a": True}}, "at '/podLabels/a': got boolean, want string"),
    "a port that is none": ({"service": {"port": 70000}}, "at '/service/port': maximum"),
    "an unknown switch": (
        {"serviceMonitor": {"enabled": "yes"}},
        "at '/serviceMonitor/enabled': got string, want boolean",
    ),
}

# By the templates: a sentence of our own.
BY_TEMPLATE = {
    "no NATS": ({}, "nats.url: name the NATS servers"),
    "two identities": (
        with_nats(nats={"credentials": {"secret": {"name": "a"}}, "nkey": {"secret": {"name": "b"}}}),
        "nats.credentials.secret.name and nats.nkey.secret.name: NATS takes one identity",
    ),
    "domain and prefix": (
        with_nats(nats={"domain": "a", "apiPrefix": "b"}),
        "nats.apiPrefix: give it or nats.domain, not both",
    ),
    "a certificate without its key": (
        with_nats(nats={"tls": {"enabled": True, "secretName": "a", "cert": "tls.crt"}}),
        "nats.tls.cert and nats.tls.key go together",
    ),
    "TLS without an authority": (
        with_nats(nats={"tls": {"enabled": True}}),
        "nats.tls.secretName: name the secret with the authority",
    ),
    "an authority without TLS": (
        with_nats(nats={"tls": {"secretName": "a"}}),
        "nats.tls.secretName is given, but nats.tls.enabled is false",
    ),
    "a secret of which nothing is used": (
        with_nats(nats={"tls": {"enabled": True, "secretName": "a", "ca": ""}}),
        "nats.tls.secretName is given, but neither nats.tls.ca nor nats.tls.cert",
    ),
    "a Job with the gateway's rights": (
        with_nats(nats={"credentials": {"secret": {"name": "a"}}}, stream={"manage": "job"}),
        "stream.manage is job, which needs credentials of its own",
    ),
    "credentials of a Job that is not there": (
        with_nats(stream={"manage": "nack", "job": {"nkey": {"secret": {"name": "a"}}}}),
        "stream.job.nkey.secret.name is given, but stream.manage is nack: a stream has one owner",
    ),
    "a Job with two identities": (
        with_nats(
            stream={
                "manage": "job",
                "job": {"nkey": {"secret": {"name": "a"}}, "user": {"secret": {"name": "b"}}},
            }
        ),
        "stream.job.nkey.secret.name and stream.job.user.secret.name: NATS takes one identity",
    ),
    "TLS without a certificate": (with_nats(tls={"enabled": True}), "tls.secretName: name the secret"),
    "tokens without keys": (with_nats(auth={"enabled": True}), "auth.enabled needs keys"),
    "keys without tokens": (
        with_nats(auth={"jwks": {"url": "https://a.example/keys"}}),
        "auth has keys, but auth.enabled is false, which would let everybody in",
    ),
    "two sets of keys": (
        with_nats(auth={"enabled": True, "jwks": {"url": "https://a.example/keys", "secret": {"name": "a"}}}),
        "auth.jwks: give one of url, secret and configMap",
    ),
    "times of keys that are not there": (
        with_nats(auth={"enabled": True, "hmac": {"secret": {"name": "s"}}, "jwks": {"refresh": "1m"}}),
        "auth.jwks.refresh and auth.jwks.maxAge are about a JWK set",
    ),
    "no time to drain": (
        with_nats(config={"drain": "1m"}),
        "terminationGracePeriodSeconds: 60 is too short: preStopSleepSeconds 5, config.drain 1m and 10 s to spare are 75 s",
    ),
    "a second too little": (with_nats(terminationGracePeriodSeconds=34), "are 35 s"),
    "a fraction of a second too little": (with_nats(config={"drain": "45s 1ms"}), "are 61 s"),
    "a long sleep": (with_nats(preStopSleepSeconds=120), "preStopSleepSeconds 120"),
    "a drain time past the check": (
        with_nats(extraEnv=[{"name": "JOBWIRE_DRAIN", "value": "5m"}]),
        "extraEnv: JOBWIRE_DRAIN would win over what the chart sets: use config.drain",
    ),
    "NATS in the environment": (
        with_nats(extraEnv=[{"name": "NATS_PASSWORD", "value": "x"}]),
        "extraEnv: NATS_PASSWORD would win over what the chart sets: use nats",
    ),
    "fewest above most": (
        with_nats(autoscaling={"enabled": True, "minReplicas": 11}),
        "autoscaling.minReplicas: 11 is more than",
    ),
    "nothing to scale by": (
        with_nats(
            autoscaling={"enabled": True, "targetConnections": None, "targetCPUUtilizationPercentage": None}
        ),
        "autoscaling needs something to go by",
    ),
    "a part of no CPU": (
        with_nats(autoscaling={"enabled": True}, resources={"requests": {"cpu": None}}),
        "autoscaling.targetCPUUtilizationPercentage is a part of resources.requests.cpu",
    ),
    "refusing before scaling": (
        with_nats(autoscaling={"enabled": True}, config={"max_connections": 12000}),
        "autoscaling.targetConnections: 12000 is not below config.max_connections, 12000",
    ),
    "a budget that blocks drains": (
        with_nats(podDisruptionBudget={"minAvailable": 2}),
        "podDisruptionBudget.minAvailable: 2 of 2 pods would keep every node from being drained",
    ),
    "an Ingress of no host": (with_nats(ingress={"enabled": True}), "ingress.hosts: name a host"),
    "a route of no Gateway": (
        with_nats(httpRoute={"enabled": True}),
        "httpRoute.parentRefs: name the Gateway",
    ),
    "a balancer's setting without one": (
        with_nats(service={"loadBalancerSourceRanges": ["10.0.0.0/8"]}),
        "need service.type LoadBalancer",
    ),
    "a node port without one": (
        with_nats(service={"nodePort": 30080}),
        "service.nodePort needs service.type",
    ),
    "a traffic policy without one": (
        with_nats(service={"externalTrafficPolicy": "Local"}),
        "service.externalTrafficPolicy needs service.type",
    ),
}


@pytest.mark.parametrize("case", BY_SCHEMA)
def test_the_schema_refuses(chart, case):
    values, sentence = BY_SCHEMA[case]
    with pytest.raises(helm.HelmError) as refused:
        chart.render(with_nats(**values))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("case", BY_TEMPLATE)
def test_the_templates_refuse(chart, case):
    values, sentence = BY_TEMPLATE[case]
    with pytest.raises(helm.HelmError) as refused:
        chart.render(values)
    assert sentence in str(refused.value)


def closed(schema, place=""):
    """Places of objects that would take any key."""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield place
    for key, part in schema.get("properties", {}).items():
        yield from closed(part, f"{place}/{key}")


def test_only_documented_maps_are_open(chart):
    """Beside the two that are another chart's, those that are Kubernetes' own, which have a name."""
    schema = chart.schema
    assert set(closed(schema)) == {"/global", "/nats-server"}
    named = {name: list(closed(part)) for name, part in schema["definitions"].items()}
    assert {name: places for name, places in named.items() if places} == {
        "openMap": [""],
        "labels": [""],
        "annotations": [""],
        "resources": ["/requests", "/limits"],
    }

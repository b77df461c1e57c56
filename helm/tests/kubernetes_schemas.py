"""Objects against the schemas of Kubernetes, as of several versions of it, unknown keys refused."""

from functools import lru_cache

import kubernetes_validate
from kubernetes_validate import utils

# Reading a version's definitions takes longer than everything else.
utils.schema_contents = lru_cache(maxsize=None)(utils.schema_contents)

OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()
VERSIONS = (OLDEST, "1.34", NEWEST)
CUSTOM_GROUPS = ("monitoring.coreos.com/", "gateway.networking.k8s.io/", "jetstream.nats.io/")


def is_custom(item):
    return item["apiVersion"].startswith(CUSTOM_GROUPS)


def refusal(item, version):
    """What Kubernetes has against an object; None: nothing."""
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = "/".join(map(str, error.path))
        return f"{item['kind']} {item['metadata']['name']} at {place}: {error.message}"
    return None

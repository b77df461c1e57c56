"""Which way events take to the stream: over NATS, or over HTTP to a gateway."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jobwire.addresses import Gateway
from jobwire.publishing.http_transport import HttpTransport
from jobwire.publishing.transport import Transport
from jobwire.publishing.worker import Worker
from jobwire.tokens import Token, TokenSource

_NATS_SCHEMES = ("nats", "tls")

# The gateway's own names for the same.
_NATS_VARIABLES = {
    "user_credentials": "NATS_CREDS",
    "nkeys_seed": "NATS_NKEY",
    "user": "NATS_USER",
    "password": "NATS_PASSWORD",
    "inbox_prefix": "NATS_INBOX_PREFIX",
}


class Endpoint:
    """An address that events are published to, and what it takes to be let in."""

    def __init__(
        self, url: str | None, token: Token, nats_options: Mapping[str, Any] | None
    ) -> None:
        """Check the address; without one that of `JOBWIRE_PUBLISH_URL`, else the gateway's."""
        given = url or os.environ.get("JOBWIRE_PUBLISH_URL")
        self._token = token
        self._servers = _nats_servers(given)
        self._options = _from_environment() | dict(nats_options or {})
        self._gateway = Gateway(given) if not self._servers else None

    def transport(self, worker: Worker) -> Transport:
        """Return the way to the stream. Those to the same NATS servers share a connection."""
        if self._gateway is not None:
            return HttpTransport(self._gateway, TokenSource(self._token), worker.http_threads())
        # Only here: it takes a while, and needs a package that not everybody has.
        from jobwire.publishing.nats_transport import NatsTransport

        key = (*self._servers, repr(sorted(self._options.items())))
        return worker.shared(key, lambda: NatsTransport(self._servers, self._options))


def _nats_servers(url: str | None) -> list[str]:
    servers = [server.strip() for server in (url or "").split(",")]
    is_nats = [urlsplit(server).scheme in _NATS_SCHEMES for server in servers]
    if not any(is_nats):
        return []
    if not all(is_nats):
        raise ValueError(f"{url!r}: all servers have to be nats:// or tls://")
    if importlib.util.find_spec("nats") is None:
        raise ImportError(f"{url!r} needs the package nats-py: pip install 'jobwire[nats]'")
    return servers


def _from_environment() -> dict[str, Any]:
    found = {name: os.environ.get(variable) for name, variable in _NATS_VARIABLES.items()}
    return {name: value for name, value in found.items() if value}

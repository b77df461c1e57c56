"""One NATS server and one gateway for all tests that do not break theirs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from stage import SECRET, Gateway, NatsServer

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOBWIRE_URL", "JOBWIRE_PUBLISH_URL", "JOBWIRE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def job() -> str:
    """A job that no other test has."""
    return f"job-{next(_numbers)}"


@pytest.fixture(scope="session")
def nats_server() -> Iterator[NatsServer]:
    server = NatsServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def gateway(nats_server: NatsServer) -> Iterator[Gateway]:
    gateway = Gateway(nats_server.url, "--publish=true")
    yield gateway
    gateway.kill()


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """A server to be killed."""
    server = NatsServer()
    yield server
    server.close()


@pytest.fixture
def own_gateway(
    own_nats: NatsServer,
) -> Iterator[Callable[..., Gateway]]:
    """Gateways to be killed, at a server to be killed."""
    gateways: list[Gateway] = []

    def start(*options: str, **environment: str) -> Gateway:
        gateways.append(Gateway(own_nats.url, *options, **environment))
        return gateways[-1]

    yield start
    for gateway in gateways:
        gateway.kill()


@pytest.fixture(scope="session")
def guarded_gateway(nats_server: NatsServer) -> Iterator[Gateway]:
    """A gateway that asks for tokens."""
    gateway = Gateway(
        nats_server.url,
        "--auth-mode=jwt",
        "--auth-leeway=0s",
        JOBWIRE_AUTH_SECRET=SECRET,
    )
    yield gateway
    gateway.kill()

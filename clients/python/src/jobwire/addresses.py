"""Where a gateway is, and which of its paths are used."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

DEFAULT_URL = "http://127.0.0.1:8080"

_SOCKET_PATH = "/ws/optimization"
_PLAIN = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
_SOCKET = {"http": "ws", "https": "wss"}


class Gateway:
    """The address of a gateway: `http://host:port`, perhaps with a path below which it answers."""

    def __init__(self, url: str | None = None) -> None:
        """Take the given address, else that of `JOBWIRE_URL`, else this machine's port 8080."""
        given = url or os.environ.get("JOBWIRE_URL") or DEFAULT_URL
        parts = urlsplit(given)
        if parts.scheme not in _PLAIN or not parts.hostname:
            raise ValueError(f"{given!r} is no address of a gateway: http://host:port is one")
        self._scheme = _PLAIN[parts.scheme]
        self._host = parts.netloc
        self._path = parts.path.rstrip("/").removesuffix(_SOCKET_PATH)

    @property
    def socket(self) -> str:
        """The WebSocket that carries every kind of job."""
        return self._at(_SOCKET[self._scheme], _SOCKET_PATH)

    def job(self, kind: str, job_id: str) -> str:
        """Return where the state of a job is."""
        return self._at(self._scheme, f"/api/v1/jobs/{kind}/{job_id}")

    def events(self, kind: str, job_id: str) -> str:
        """Return where events of a job are published."""
        return f"{self.job(kind, job_id)}/events"

    def _at(self, scheme: str, path: str) -> str:
        return urlunsplit((scheme, self._host, self._path + path, "", ""))

    def __str__(self) -> str:
        return self._at(self._scheme, "")

"""The thread in the background: one for the process, with an event loop, started when needed.

After a fork the child begins with nothing: what waits in the parent is sent by the parent.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from jobwire.publishing.daemon_threads import DaemonLoop, DaemonThreads
from jobwire.publishing.outbox import Outbox
from jobwire.publishing.transport import Transport

# How long the process waits at its end for what is not stored yet, in seconds.
EXIT_PATIENCE = 5.0

_MOST_TRANSPORTS = 16
_HTTP_THREADS = 3

_log = logging.getLogger("jobwire")


class Sender(Protocol):
    """What sends the events of a publisher."""

    outbox: Outbox

    async def send(self) -> None:
        """Send until nothing waits."""

    def begin_anew(self) -> None:
        """Forget everything, in the child after a fork."""


class Worker:
    """The thread, its loop, and what the publishers share."""

    def __init__(self) -> None:
        self._loop = DaemonLoop()
        self._transports: OrderedDict[Hashable, Transport] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._http_threads: DaemonThreads | None = None
        self._runs: set[_Run] = set()
        threading.Thread(target=self._serve, name="jobwire publisher", daemon=True).start()

    def start(self, sender: Sender) -> None:
        """Let a sender send what waits, from whatever thread."""
        run = _Run(sender)
        self._runs.add(run)
        self._loop.call_soon_threadsafe(self._start, run)

    def senders(self) -> list[Sender]:
        """Return those that have something to send."""
        return [run.sender for run in list(self._runs)]

    def http_threads(self) -> DaemonThreads:
        """Return the threads for HTTP requests."""
        with _lock:
            if self._http_threads is None:
                self._http_threads = DaemonThreads("jobwire HTTP", _HTTP_THREADS)
            return self._http_threads

    def shared(self, key: Hashable, make: Callable[[], Transport]) -> Transport:
        """Return the transport that publishers with this key share."""
        with _lock:
            transport = self._transports.pop(key, None) or make()
            self._transports[key] = transport
            if len(self._transports) > _MOST_TRANSPORTS:
                _, oldest = self._transports.popitem(last=False)
                self._loop.call_soon_threadsafe(oldest.retire)
            return transport

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _start(self, run: _Run) -> None:
        task = self._loop.create_task(run.sender.send())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._over(run, done))

    def _over(self, run: _Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._runs.discard(run)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("a publisher failed", exc_info=failure)
            run.sender.outbox.sender_failed()


class _Run:
    """One run of a sender; another may begin before its end was noticed."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender


_lock = threading.Lock()
_worker: Worker | None = None
_senders: weakref.WeakSet[Any] = weakref.WeakSet()
# Loops of a parent process: never finalized, for their sockets are the parent's.
_parents_workers: list[Worker] = []


def worker() -> Worker:
    """Return the process's worker; raises RuntimeError if the interpreter is too near its end."""
    global _worker
    with _lock:
        if _worker is None:
            _worker = Worker()
            _flush_at_exit()
        return _worker


def register(sender: Sender) -> None:
    """Let a sender know of forks."""
    with _lock:
        _senders.add(sender)


def finish(patience: float = EXIT_PATIENCE) -> None:
    """Wait for what is not stored yet, and say what was not."""
    if _worker is None:
        return
    deadline = time.monotonic() + patience
    lost = 0
    for sender in _worker.senders():
        if not sender.outbox.wait_until_empty(max(0.0, deadline - time.monotonic())):
            lost += sender.outbox.waiting()
    if lost:
        _log.error("%d events were not stored when the process ended", lost)


def _flush_at_exit() -> None:
    atexit.unregister(finish)
    atexit.register(finish)
    # Children of multiprocessing end without atexit. Their parent would wait and tell twice.
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        import multiprocessing.util

        multiprocessing.util.Finalize(None, finish, exitpriority=100)


def _begin_anew() -> None:
    global _lock, _worker
    _lock = threading.Lock()
    if _worker is not None:
        _parents_workers.append(_worker)
        _worker = None
    for sender in list(_senders):
        sender.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _lock.acquire(),
        after_in_parent=lambda: _lock.release(),
        after_in_child=_begin_anew,
    )

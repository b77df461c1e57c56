"""Threads that nobody waits for at the end of the process, and that work until its very end.

The standard library's pool takes no more work once the interpreter begins to exit, which is when
the last events of many jobs are published.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")


class DaemonThreads:
    """A fixed number of threads, started at once: later it may be too late."""

    def __init__(self, name: str, count: int) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Call a function in one of the threads."""
        future: Future[_T] = Future()
        self._calls.put((future, call))
        return future

    def _work(self) -> None:
        while True:
            future, call = self._calls.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as failure:
                future.set_exception(failure)
            del future, call


class DaemonLoop(asyncio.SelectorEventLoop):
    """An event loop that looks up names, and does what else blocks, in daemon threads."""

    def __init__(self) -> None:
        super().__init__()
        self._daemons = DaemonThreads("jobwire look-ups", 1)

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., _T], *args: Any
    ) -> asyncio.Future[_T]:
        """Call a function in a daemon thread, whatever the executor."""
        future = self._daemons.submit(lambda: func(*args))
        return asyncio.wrap_future(future, loop=self)

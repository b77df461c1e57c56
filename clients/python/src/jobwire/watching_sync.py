"""The synchronous twin of a watch: the same, driven by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

from jobwire.conversation import Cursor, OnTruncated
from jobwire.errors import JobwireError
from jobwire.events import Item
from jobwire.life_cycle import Outcome
from jobwire.tokens import Token
from jobwire.watching import ConnectionState, Watch, watch

_T = TypeVar("_T")
_CLOSE_TIMEOUT = 5.0


class SyncWatch(Iterator[Item]):
    """An iterator over one job. Made by `watch_sync`."""

    def __init__(self, watched: Watch) -> None:
        self._watch = watched
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False

    @property
    def cursor(self) -> Cursor:
        """Where to go on later; see `Watch.cursor`."""
        return self._watch.cursor

    @property
    def last_event_id(self) -> int | None:
        """Id of the last event that was yielded; before the first, the `after` it began with."""
        return self._watch.last_event_id

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended; None while it has not."""
        return self._watch.outcome

    @property
    def state(self) -> ConnectionState | None:
        """How the connection stands; None before the first step."""
        return self._watch.state

    def __iter__(self) -> SyncWatch:
        return self

    def __next__(self) -> Item:
        try:
            item = None if self._is_closed else self._run(_next(self._watch))
        except JobwireError:
            self.close()
            raise
        if item is None:
            self.close()
            raise StopIteration
        return item

    def close(self) -> None:
        """Stop watching, from whatever thread. Nothing more is yielded."""
        was_closed, self._is_closed = self._is_closed, True
        if was_closed or self._loop is None:
            return
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            self._run(asyncio.wait_for(self._watch.aclose(), _CLOSE_TIMEOUT))
        self._stop()

    def __enter__(self) -> SyncWatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._stop()

    def _stop(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is not None:
            self._watch.abandon()
            with contextlib.suppress(RuntimeError):  # it is closed already
                loop.call_soon_threadsafe(loop.stop)

    def _run(self, step: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=_serve, args=(self._loop,), name="jobwire watch", daemon=True
            ).start()
        future = asyncio.run_coroutine_threadsafe(step, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


async def _next(watched: Watch) -> Item | None:
    return await anext(watched, None)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


def watch_sync(
    job_id: str,
    *,
    kind: str = "optimization",
    after: int | None = 0,
    epoch: str | None = None,
    url: str | None = None,
    token: Token = None,
    event_types: Iterable[str] | None = None,
    on_truncated: OnTruncated = "earliest",
    on_state: Callable[[ConnectionState], None] | None = None,
    wait_for_job: bool = False,
    give_up_after: float | None = None,
) -> SyncWatch:
    """Watch a job with a plain `for`; see `watch`. `on_state` is called in another thread."""
    return SyncWatch(
        watch(
            job_id,
            kind=kind,
            after=after,
            epoch=epoch,
            url=url,
            token=token,
            event_types=event_types,
            on_truncated=on_truncated,
            on_state=on_state,
            wait_for_job=wait_for_job,
            give_up_after=give_up_after,
        )
    )

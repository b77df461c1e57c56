"""A twin of tqdm: the same bar, and a job that others can watch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from jobwire.harmless import harmless
from jobwire.publishing.job_publisher import DEFAULT_KIND, JobPublisher
from jobwire.tokens import Token

_T = TypeVar("_T")

if TYPE_CHECKING:
    from tqdm.std import tqdm as _Bar
else:
    try:
        from tqdm.auto import tqdm as _tqdm
    except ImportError as missing:
        raise ImportError(
            "jobwire.tqdm needs the package tqdm: pip install 'jobwire[tqdm]'"
        ) from missing

    class _Bar(_tqdm):
        def __class_getitem__(cls, item):
            return cls


# How often progress is published at most, in seconds.
_EVERY = 0.5


class tqdm(_Bar[_T]):
    """tqdm, with the job's id, and what else `JobPublisher` takes.

    The job starts with the bar. It is completed when the bar reaches its end, failed when an
    exception leaves its `with`, and cancelled when it is left before. `life_cycle=False` tells
    progress only, for a bar that is a part of a job. Bar and job also count with `disable=True`.
    """

    def __init__(
        self,
        iterable: Iterable[_T] | None = None,
        *args: Any,
        job_id: str,
        kind: str = DEFAULT_KIND,
        url: str | None = None,
        token: Token = None,
        nats_options: Mapping[str, Any] | None = None,
        life_cycle: bool = True,
        **kwargs: Any,
    ) -> None:
        self._has_ended = True
        super().__init__(iterable, *args, **kwargs)  # type: ignore[arg-type]
        self._job = JobPublisher(job_id, kind=kind, url=url, token=token, nats_options=nats_options)
        self._whole = _length(iterable) if self.total is None else self.total
        self._what = str(kwargs.get("desc") or "")
        self._has_life_cycle = life_cycle
        self._is_iterated = False
        self._done: float = kwargs.get("initial") or 0
        self._told: tuple[float, float] | None = None
        self._has_ended = False
        if life_cycle:
            self._job.started({"totalIterations": self._whole, "description": self._what})

    @property
    def job(self) -> JobPublisher:
        """The publisher, for whatever else there is to tell."""
        return self._job

    def __iter__(self) -> Iterator[_T]:
        self._is_iterated = True
        try:
            for item in super().__iter__():
                yield item
                self._count(1)
        except GeneratorExit:
            self._end(None, is_complete=False)
            raise
        except BaseException as failure:
            self._end(failure, is_complete=False)
            raise
        self._end(None, is_complete=True)

    def update(self, n: float | None = 1) -> bool | None:
        """Move the bar, and tell the job's watchers."""
        if not self._is_iterated:
            self._count(1 if n is None else n)
        return super().update(n)

    def close(self) -> None:
        """Take the bar away; the job ends with it."""
        super().close()
        if not self._has_ended and not self._is_iterated:
            self._end(None, is_complete=self._whole is None or self._done >= self._whole)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._end(error, is_complete=False)
        super().__exit__(kind, error, trace)

    @harmless
    def _count(self, count: float) -> None:
        self._done += count
        if self._told is None or time.monotonic() - self._told[0] >= _EVERY:
            self._tell()

    def _tell(self) -> None:
        self._told = (time.monotonic(), self._done)
        whole = self._whole
        of = f"/{whole}" if whole else ""
        self._job.progress(
            min(1.0, self._done / whole) if whole else None,
            f"{self._what}: {self._done}{of}" if self._what else f"{self._done}{of}",
            iteration=self._done,
            totalIterations=whole,
        )

    @harmless
    def _end(self, failure: BaseException | None, is_complete: bool) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._told is None or self._told[1] != self._done:
            self._tell()
        if not self._has_life_cycle:
            return
        if is_complete:
            self._job.completed()
        elif failure is None or isinstance(failure, KeyboardInterrupt):
            self._job.cancelled(finalIteration=self._done)
        else:
            self._job.failed(failure)


def _length(iterable: object) -> float | None:
    # A disabled bar does not look.
    try:
        return len(iterable)  # type: ignore[arg-type]
    except TypeError:
        return None

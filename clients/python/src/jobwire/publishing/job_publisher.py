"""Publishing events of any kind of job."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from jobwire.publishing.outbox import Limits
from jobwire.publishing.publisher import Publisher
from jobwire.tokens import Token

DEFAULT_KIND = "optimization"


class JobPublisher(Publisher):
    """Publishes events of one job, from any thread, without ever waiting or raising.

    Only a wrong argument raises, here, when the publisher is made.
    """

    def __init__(
        self,
        job_id: str,
        *,
        kind: str = DEFAULT_KIND,
        url: str | None = None,
        token: Token = None,
        nats_options: Mapping[str, Any] | None = None,
        max_waiting: int = 10_000,
        max_waiting_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        """Make a publisher; it connects with the first event.

        Args:
            job_id: 1 to 128 of A-Z a-z 0-9 _ -.
            kind: kind of the job, by the same rules.
            url: `nats://…` (several with commas) or the gateway's `http://…`; else
                `JOBWIRE_PUBLISH_URL`, else `JOBWIRE_URL`, else `http://127.0.0.1:8080`.
            token: for the gateway: a text, or a function that is called for each new one; else
                `JOBWIRE_TOKEN`.
            nats_options: more for `nats.connect`, such as `{"user_credentials": "job.creds"}`.
            max_waiting: events kept through an outage; then the oldest gives way, but not one of
                the job's life (`job_…`) as long as there is another.
            max_waiting_bytes: the same in bytes of JSON.

        """
        limits = Limits(max_waiting, max_waiting_bytes)
        super().__init__(job_id, kind, url, token, nats_options, limits)

    def publish(
        self,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        *,
        iteration: float | None = None,
        stage: str | None = None,
        timestamp: str | None = None,
        key: str | None = None,
    ) -> None:
        """Publish one event.

        `key` makes it safe to publish the same event from two places, or again after a restart:
        within two minutes the stream takes one event of the job with this key.
        """
        self._accept(event_type, data, iteration, stage, timestamp, key)

    def started(self, config: Mapping[str, Any] | None = None, **data: Any) -> None:
        """Tell that the job runs."""
        self.publish("job_started", {"config": dict(config or {}), **data})

    def progress(
        self,
        fraction: float | None = None,
        message: str | None = None,
        *,
        iteration: float | None = None,
        stage: str | None = None,
        **data: Any,
    ) -> None:
        """Tell how far the job is, 0 to 1, and whatever else there is to tell."""
        told = {"progress": fraction, "message": message}
        told = {name: value for name, value in told.items() if value is not None}
        self.publish("progress", told | data, iteration=iteration, stage=stage)

    def iteration(self, number: float, score: float | None = None, **data: Any) -> None:
        """Tell that an iteration is complete; of scores, higher is better."""
        told = {} if score is None else {"score": score}
        self.publish("iteration_completed", told | data, iteration=number)

    def log(self, message: str, level: str = "INFO", **data: Any) -> None:
        """Tell a line for people."""
        self.publish("log", {"level": level, "message": message, **data})

    def completed(self, **data: Any) -> None:
        """Tell that the job is done, and with what."""
        self.publish("job_completed", data)

    def failed(self, error: str | BaseException, *, will_retry: bool = False, **data: Any) -> None:
        """Tell that the job has failed."""
        self.publish("job_failed", {**_told(error), "willRetry": will_retry, **data})

    def cancelled(self, **data: Any) -> None:
        """Tell that the job was stopped."""
        self.publish("job_cancelled", data)

    @contextlib.contextmanager
    def running(self, config: Mapping[str, Any] | None = None) -> Iterator[None]:
        """Tell that the job has started, and in the end how it ended: by what leaves the block."""
        self.started(config)
        try:
            yield
        except (KeyboardInterrupt, GeneratorExit):
            self.cancelled()
            raise
        except BaseException as failure:
            self.failed(failure)
            raise
        self.completed()

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it is a publisher of the same job, with nothing that waits.
        return _remade, (type(self), self.job_id, self.kind, *self._arguments)


def _remade(
    made: type[JobPublisher],
    job_id: str,
    kind: str,
    url: str | None,
    token: Token,
    nats_options: Mapping[str, Any] | None,
    limits: Limits,
) -> JobPublisher:
    return made(
        job_id,
        kind=kind,
        url=url,
        token=token,
        nats_options=nats_options,
        max_waiting=limits.events,
        max_waiting_bytes=limits.bytes,
    )


def _told(error: str | BaseException) -> dict[str, str]:
    if isinstance(error, str):
        return {"error": error}
    stack = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return {"error": f"{type(error).__name__}: {error}", "errorStack": stack[-20_000:]}


@contextlib.contextmanager
def run(
    job_id: str, config: Mapping[str, Any] | None = None, **options: Any
) -> Iterator[JobPublisher]:
    """Report on a block of code as a job: started, whatever it publishes, and how it ended.

    `options` are those of `JobPublisher`. Leaving the block waits up to 10 s for what is not
    stored yet.
    """
    with JobPublisher(job_id, **options) as publisher, publisher.running(config):
        yield publisher

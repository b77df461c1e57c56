"""An event on its way to the stream: encoded when it is published, and never changed again."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from jobwire.life_cycle import LIFE_CYCLE_TYPES
from jobwire.names import checked_event_type

# What the stream takes of one event, in bytes.
LARGEST_EVENT = 512 * 1024

# Headers, each with its value.
Trace: TypeAlias = tuple[tuple[str, str], ...]

_log = logging.getLogger("jobwire")


@dataclass(frozen=True)
class Envelope:
    """An encoded event. `key` is the publisher's own, if it gave one."""

    sequence: int
    event_type: str
    body: bytes
    key: str | None
    trace: Trace

    @property
    def is_life_cycle(self) -> bool:
        """Whether the job's state depends on it, so that it must not be dropped."""
        return self.event_type in LIFE_CYCLE_TYPES


def encoded(
    event_type: str,
    data: Mapping[str, Any] | None,
    iteration: float | None,
    stage: str | None,
    timestamp: str | None,
) -> bytes:
    """Return the event as JSON; raise ValueError or TypeError if it cannot be one.

    A life-cycle event goes without its data rather than not at all.
    """
    event = {
        "eventType": checked_event_type(event_type),
        "iteration": _of_type("iteration", int | float, _plain(iteration)),
        "stage": _of_type("stage", str, stage),
        "data": None if data is None else dict(data),
        "timestamp": _of_type("timestamp", str, timestamp or now()),
    }
    event = {name: value for name, value in event.items() if value is not None}
    try:
        return _checked(_json(event))
    except (TypeError, ValueError, RecursionError) as failure:
        if event_type not in LIFE_CYCLE_TYPES:
            raise
        _log.error("the data of a %s event is left out: %s", event_type, failure)
        event["data"] = {"omitted": str(failure)[:300]}
        return _checked(_json(event))


def now() -> str:
    """Return the time as ISO 8601, in UTC."""
    utc = datetime.datetime.now(datetime.timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def current_trace() -> Trace:
    """Return the headers of OpenTelemetry's current span; none without it, or without a span."""
    # Who has a span has imported this; so nothing has to be imported here.
    tracing = sys.modules.get("opentelemetry.trace")
    if tracing is None:
        return ()
    context = tracing.get_current_span().get_span_context()
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    state = context.trace_state.to_header()
    return (("traceparent", parent), *([("tracestate", state)] if state else []))


def _of_type(name: str, wanted: Any, value: object) -> object:
    # What the stream takes of another type is no event, and is not shown to anybody.
    if value is None or (isinstance(value, wanted) and not isinstance(value, bool)):
        return value
    raise TypeError(f"{name} is {value!r}, which is no {wanted}")


def _checked(body: bytes) -> bytes:
    if len(body) > LARGEST_EVENT:
        raise ValueError(f"the event has {len(body)} bytes; at most {LARGEST_EVENT} are possible")
    return body


def _json(event: Mapping[str, Any]) -> bytes:
    try:
        return _dumped(event)
    except ValueError:
        # JSON has no NaN and no infinity; losses do.
        return _dumped(_finite(event))


def _dumped(event: object) -> bytes:
    text = json.dumps(event, allow_nan=False, default=_plain, separators=(",", ":"))
    return text.encode("ascii")


def _finite(value: object) -> object:
    value = value if isinstance(value, _JSON) else _plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


_JSON = (str, int, float, bool, dict, list, tuple, type(None))


def _plain(value: Any) -> Any:
    """Return what JSON can carry: numbers and arrays of numpy and its like, else a text."""
    if value is None or isinstance(value, _JSON):
        return value
    if callable(listed := getattr(value, "tolist", None)):
        return listed()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)

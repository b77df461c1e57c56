"""What is said on the WebSocket about one job: messages in, items out. No socket, no clock."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from jobwire.errors import HistoryTruncated, JobNotFound, ProtocolError, Refused
from jobwire.events import Event, Gap, Item, Reset, event_from_wire
from jobwire.life_cycle import LIFE_CYCLE_TYPES, Outcome
from jobwire.names import checked_event_type, checked_name

OnTruncated: TypeAlias = Literal["earliest", "fail"]

_MOST_EVENT_TYPES = 64

_log = logging.getLogger("jobwire")


@dataclass(frozen=True)
class Cursor:
    """Where a watch stands. `after` None: nothing was seen; it begins with what happens next."""

    after: int | None
    epoch: str | None


@dataclass(frozen=True)
class Terms:
    """What is watched, and how."""

    job_id: str
    kind: str
    event_types: frozenset[str] | None = None
    on_truncated: OnTruncated = "earliest"

    @classmethod
    def checked(
        cls, job_id: str, kind: str, event_types: Iterable[str] | None, on_truncated: OnTruncated
    ) -> Terms:
        """Return the terms, or raise ValueError with what would be right."""
        if on_truncated not in ("earliest", "fail"):
            raise ValueError(f"on_truncated is {on_truncated!r}: 'earliest' or 'fail' is right")
        types = (
            event_types if event_types is None else frozenset(map(checked_event_type, event_types))
        )
        if types is not None and not 0 < len(types | LIFE_CYCLE_TYPES) <= _MOST_EVENT_TYPES:
            most = _MOST_EVENT_TYPES - len(LIFE_CYCLE_TYPES)
            raise ValueError(f"event_types has {len(types)} types: {most} are possible")
        return cls(checked_name("job", job_id), checked_name("kind", kind), types, on_truncated)


class NotNow(Exception):
    """The gateway cannot subscribe now; asked again later it may."""


class Conversation:
    """The state of one watch, over all its connections."""

    def __init__(self, terms: Terms, cursor: Cursor) -> None:
        self.terms = terms
        self.cursor = cursor
        self.is_subscribed = False
        self.is_caught_up = False
        self.has_ended = False
        self.outcome: Outcome | None = None
        self.knows_life_cycle = False
        self._ending: Outcome | None = None
        self._history_end: int | None = None
        self._last_notice: Gap | Reset | None = None

    def subscribe_message(self) -> str:
        """Return what a new connection begins with, from where the watch stands."""
        self.is_subscribed = self.is_caught_up = False
        self._history_end = None
        message: dict[str, Any] = {
            "type": "subscribe",
            "jobId": self.terms.job_id,
            "kind": self.terms.kind,
            "afterEventId": self.cursor.after,
            "onTruncated": self.terms.on_truncated,
            "position": True,
        }
        if self.cursor.epoch is not None and self.cursor.after is not None:
            message["epoch"] = self.cursor.epoch
        if self.terms.event_types is not None:
            # The end has to be seen, wanted or not.
            message["eventTypes"] = sorted(self.terms.event_types | LIFE_CYCLE_TYPES)
        return json.dumps(message)

    def receive(self, text: str | bytes) -> list[Item]:
        """Return what a message brings that is new.

        Raises Refused if there is no watch any more, NotNow if it has to be asked for again, and
        ProtocolError if the message cannot be understood.
        """
        message = _decoded(text)
        if message.get("jobId", self.terms.job_id) != self.terms.job_id:
            return []
        items = self._items(message)
        if self._ending is not None and self._has_seen_history():
            self.outcome, self.has_ended = self._ending, True
        return items

    def _items(self, message: dict[str, Any]) -> list[Item]:
        match message.get("type"):
            case "event":
                return self._events([message.get("event")])
            case "replay":
                return self._events(message.get("data") or [])
            case "subscribed":
                self._subscribed(message)
            case "position":
                self._position(message)
            case "error":
                return self._error(message)
            case _:
                pass  # pong, authenticated, and what is not known yet
        return []

    def _events(self, wires: object) -> list[Item]:
        if not isinstance(wires, list):
            raise ProtocolError("a replay whose data is no list")
        # All of them before the first moves the cursor: after an error they are asked for again.
        events = [event_from_wire(self.terms.job_id, self.terms.kind, wire) for wire in wires]
        return [event for event in events if self._is_new(event) and self._is_wanted(event)]

    def _is_new(self, event: Event) -> bool:
        if event.id <= (self.cursor.after or 0):
            return False
        self.cursor = Cursor(event.id, self.cursor.epoch)
        self._last_notice = None
        if event.type in LIFE_CYCLE_TYPES:
            # A job that runs again has not ended: only its newest life-cycle event counts.
            self.knows_life_cycle, self._ending = True, event.outcome
        return True

    def _is_wanted(self, event: Event) -> bool:
        return self.terms.event_types is None or event.type in self.terms.event_types

    def _subscribed(self, message: dict[str, Any]) -> None:
        last = message.get("lastEventId")
        last = last if isinstance(last, int) else None
        after = self.cursor.after if self.cursor.after is not None else last
        self.cursor = Cursor(after, message.get("epoch") or self.cursor.epoch)
        self._history_end = last
        self.is_subscribed = True

    def _position(self, message: dict[str, Any]) -> None:
        position = message.get("id")
        if isinstance(position, int) and position > (self.cursor.after or 0):
            self.cursor = Cursor(position, self.cursor.epoch)
        self.is_caught_up = self.is_caught_up or message.get("caughtUp") is True

    def _has_seen_history(self) -> bool:
        end = self._history_end
        return self.is_caught_up or (end is not None and (self.cursor.after or 0) >= end)

    def _error(self, message: dict[str, Any]) -> list[Item]:
        code, sentence = str(message.get("code")), str(message.get("error"))
        match code:
            case "HISTORY_TRUNCATED":
                return self._gap(message, sentence)
            case "CURSOR_INVALID":
                return self._reset(message)
            case "EVENT_MALFORMED":
                _log.warning("job %s: %s", self.terms.job_id, sentence)
                return []
            case "UNAVAILABLE":
                raise NotNow(sentence)
            case "JOB_NOT_FOUND":
                raise JobNotFound(code, sentence)
            case "FORBIDDEN" if "jobId" not in message:
                # A renewed token that is not good changes nothing; the old one still counts.
                _log.warning("the gateway did not take a renewed token: %s", sentence)
                return []
            case "FORBIDDEN" | "LIMIT":
                raise Refused(code, sentence)
            case _ if not self.is_subscribed:
                raise Refused(code, sentence)
        _log.warning("job %s: the gateway says %s: %s", self.terms.job_id, code, sentence)
        return []

    def _gap(self, message: dict[str, Any], sentence: str) -> list[Item]:
        gap = Gap(
            self.terms.job_id,
            self.terms.kind,
            message.get("requestedAfter"),
            message.get("firstAvailable"),
            message.get("lastEventId"),
        )
        if self.terms.on_truncated == "fail":
            raise HistoryTruncated(gap, sentence)
        return self._notice(gap)

    def _reset(self, message: dict[str, Any]) -> list[Item]:
        epoch = message.get("epoch")
        notice = self._notice(Reset(self.terms.job_id, self.terms.kind, epoch))
        if notice:
            self.cursor = Cursor(0, epoch)
            self.is_subscribed, self.is_caught_up = True, False
            self.knows_life_cycle, self._ending, self._history_end = False, None, None
        return notice

    def _notice(self, notice: Gap | Reset) -> list[Item]:
        """Tell it once, also if the message came twice."""
        if notice == self._last_notice:
            return []
        self._last_notice = notice
        return [notice]


def _decoded(text: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as failure:
        raise ProtocolError(
            f"a message that is no JSON of a kind known here: {failure}"
        ) from failure
    if not isinstance(message, dict):
        raise ProtocolError("a message that is no JSON object")
    return message


def _whole(digits: str) -> float:
    # Python refuses to make whole numbers of thousands of digits.
    return int(digits) if len(digits) < 1000 else float(digits)

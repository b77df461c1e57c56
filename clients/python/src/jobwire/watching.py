"""Watching one job: connects, comes back after every cut, and yields each event once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, TypeAlias

from jobwire.addresses import Gateway
from jobwire.backoff import Backoff
from jobwire.conversation import Conversation, Cursor, NotNow, OnTruncated, Terms
from jobwire.errors import JobNotFound, JobwireError, ProtocolError, Unreachable
from jobwire.events import Event, Item, Reset
from jobwire.job_state import ended_with
from jobwire.life_cycle import Outcome
from jobwire.link import SILENCE, Link, LinkLost, Rejected, open_link
from jobwire.tokens import Token, TokenSource

StateName: TypeAlias = Literal[
    "connecting", "catching-up", "live", "reconnecting", "ended", "closed"
]

# The gateway answers a subscribe within 10 s.
_ANSWER = 20.0
# So many messages that cannot be understood, with nothing new between them, are no accident.
_MOST_GARBLED = 4
_RESTART = 1012
_TOKEN_EXPIRED = 4001
_LARGEST_ID = 2**53 - 1

_log = logging.getLogger("jobwire")


@dataclass(frozen=True)
class ConnectionState:
    """How the connection of a watch stands, and why."""

    name: StateName
    reason: str


class Watch(AsyncIterator[Item]):
    """An asynchronous iterator over one job. Made by `watch`."""

    def __init__(
        self,
        terms: Terms,
        cursor: Cursor,
        gateway: Gateway,
        tokens: TokenSource,
        on_state: Callable[[ConnectionState], None] | None,
        wait_for_job: bool,
        give_up_after: float | None,
    ) -> None:
        self._conversation = Conversation(terms, cursor)
        self._gateway = gateway
        self._tokens = tokens
        self._on_state = on_state
        self._wait_for_job = wait_for_job
        self._give_up_after = give_up_after
        self._link: Link | None = None
        self._items: deque[Item] = deque()
        self._told = cursor
        self._last_event_id = cursor.after
        self._backoff = Backoff()
        # The gateway has waited 2 s before it says that there is no job.
        self._absence = Backoff(longest=2.0)
        self._cut_off_since: float | None = None
        self._has_connected = False
        self._has_asked_for_state = False
        self._garbled = 0
        self._closing = asyncio.Event()
        self._state: ConnectionState | None = None

    @property
    def cursor(self) -> Cursor:
        """Where to go on later: `watch(job, after=cursor.after, epoch=cursor.epoch)`.

        It covers what the iterator has yielded, and nothing that it has not.
        """
        return self._told if self._items else self._conversation.cursor

    @property
    def last_event_id(self) -> int | None:
        """Id of the last event that was yielded; before the first, the `after` it began with."""
        return self._last_event_id

    @property
    def outcome(self) -> Outcome | None:
        """How the job ended; None while it has not, or its end was not yielded yet."""
        return None if self._items else self._conversation.outcome

    @property
    def state(self) -> ConnectionState | None:
        """How the connection stands; None before the first step."""
        return self._state

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Item:
        while True:
            if self._items:
                return self._hand_over()
            if self._closing.is_set():
                raise StopAsyncIteration
            if self._conversation.has_ended:
                await self._finish("ended", f"the job has {self._conversation.outcome}")
                raise StopAsyncIteration
            await self._step()

    async def aclose(self) -> None:
        """Stop watching. Nothing more is yielded."""
        if self._items:
            # What was not yielded was not seen: another watch has to begin before it.
            self._conversation.cursor, self._conversation.outcome = self._told, None
            self._items.clear()
        await self._finish("closed", "closed here")

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def abandon(self) -> None:
        """Drop the connection without a word, from whatever thread. Nothing is waited for."""
        link: Link | None = getattr(self, "_link", None)
        if link is not None:
            link.abandon()

    def __del__(self) -> None:
        self.abandon()

    def _hand_over(self) -> Item:
        item = self._items.popleft()
        if isinstance(item, Event):
            self._last_event_id = item.id
            self._told = Cursor(item.id, self._conversation.cursor.epoch)
        elif isinstance(item, Reset):
            self._last_event_id = 0
            self._told = Cursor(0, item.epoch)
        return item

    async def _step(self) -> None:
        try:
            if self._link is None:
                await self._connect()
            else:
                await self._receive(self._link)
        except LinkLost as loss:
            await self._come_back(loss)
        except NotNow as refusal:
            await self._ask_again(str(refusal), self._backoff.next_delay())
        except JobNotFound as refusal:
            if not self._wait_for_job:
                await self._finish("closed", str(refusal))
                raise
            await self._ask_again("the job is not there yet", self._absence.next_delay())
        except ProtocolError as failure:
            self._garbled += 1
            if isinstance(failure, Rejected) or self._garbled >= _MOST_GARBLED:
                await self._finish("closed", str(failure))
                raise
            # What broke a message may have been on the way.
            await self._come_back(LinkLost(str(failure)))
        except JobwireError as failure:
            await self._finish("closed", str(failure))
            raise

    async def _connect(self) -> None:
        if self._state is None:
            self._enter("connecting", str(self._gateway))
        link = await open_link(self._gateway.socket, self._tokens, not self._has_connected)
        if self._closing.is_set():
            return link.abandon()
        self._link = link
        await link.send(self._conversation.subscribe_message())
        return None

    async def _receive(self, link: Link) -> None:
        was_subscribed = self._conversation.is_subscribed
        text = await link.receive(SILENCE if was_subscribed else _ANSWER)
        self._items.extend(self._conversation.receive(text))
        if self._items:
            self._garbled = 0
        if self._conversation.is_caught_up:
            self._backoff.succeeded()
            self._enter("live", "everything stored has been told")
            await self._look_for_an_earlier_end()
        elif self._conversation.is_subscribed:
            self._has_connected, self._cut_off_since = True, None
            self._enter("catching-up", "subscribed")

    async def _look_for_an_earlier_end(self) -> None:
        """Whoever begins after a job's last event would wait for ever: ask how the job stands."""
        conversation = self._conversation
        if self._has_asked_for_state or self._items or conversation.knows_life_cycle:
            return
        self._has_asked_for_state = True
        if self._last_event_id:
            cursor = conversation.cursor
            outcome = await ended_with(self._gateway, conversation.terms, cursor, self._tokens)
            if outcome is not None and not conversation.has_ended:
                conversation.outcome, conversation.has_ended = outcome, True

    async def _come_back(self, loss: LinkLost) -> None:
        await self._drop_link()
        if self._closing.is_set():
            return
        if loss.code == _TOKEN_EXPIRED:
            self._tokens.expire()
        self._log_loss(loss)
        delay = self._delay(loss)
        self._check_patience(loss, delay)
        self._enter(self._trying, f"{loss.reason}; again in {delay:.1f} s")
        await self._sleep(delay)

    @property
    def _trying(self) -> StateName:
        return "reconnecting" if self._has_connected else "connecting"

    def _delay(self, loss: LinkLost) -> float:
        if loss.code == _RESTART and loss.wait is not None:
            return loss.wait
        if (
            loss.code == _TOKEN_EXPIRED
            and self._conversation.is_caught_up
            and self._tokens.is_renewable
        ):
            return 0.0
        return self._backoff.next_delay(at_least=loss.wait or 0.0)

    def _check_patience(self, loss: LinkLost, delay: float) -> None:
        now = time.monotonic()
        self._cut_off_since = self._cut_off_since or now
        if self._give_up_after is None:
            return
        if now + delay - self._cut_off_since > self._give_up_after:
            self._closing.set()
            self._enter("closed", loss.reason)
            raise Unreachable(f"{self._gateway} for {self._give_up_after} s: {loss.reason}")

    def _log_loss(self, loss: LinkLost) -> None:
        is_first = self._cut_off_since is None
        level = logging.WARNING if is_first and loss.code is None else logging.INFO
        _log.log(level, "job %s: %s; trying again", self._conversation.terms.job_id, loss.reason)

    async def _ask_again(self, reason: str, delay: float) -> None:
        self._enter(self._trying, reason)
        await self._sleep(delay)
        if self._link is not None and not self._closing.is_set():
            with contextlib.suppress(LinkLost):  # the next receive tells it
                await self._link.send(self._conversation.subscribe_message())

    async def _sleep(self, delay: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closing.wait(), delay)

    async def _finish(self, name: StateName, reason: str) -> None:
        self._closing.set()
        await self._drop_link()
        if self._state is None or self._state.name not in ("ended", "closed"):
            self._enter(name, reason)

    async def _drop_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            try:
                await link.close()
            finally:
                link.abandon()

    def _enter(self, name: StateName, reason: str) -> None:
        if self._state is not None and self._state.name == name and name in ("live", "catching-up"):
            return
        self._state = ConnectionState(name, reason)
        if self._on_state is not None:
            try:
                self._on_state(self._state)
            except Exception:  # the user's own code
                _log.exception("on_state failed")


def watch(
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
) -> Watch:
    """Watch a job: what is stored, then what happens, each event once, until the job ends.

    Yields `Event`, and where it is so `Gap` (events may be missing here) and `Reset` (the stream
    was made anew, ids start again). After a cut it comes back by itself and goes on.

    Args:
        job_id: 1 to 128 of A-Z a-z 0-9 _ -.
        kind: kind of the job, by the same rules.
        after: id of the last event that was seen. 0: from the beginning. None: only what happens
            from now on.
        epoch: the one that belongs to `after`, from `Watch.cursor`.
        url: the gateway, such as `https://jobs.example.com`; else `JOBWIRE_URL`, else
            `http://127.0.0.1:8080`.
        token: a text, or a function (plain or async) that is called for each new one; else
            `JOBWIRE_TOKEN`. One that expires is renewed before, on the same connection.
        event_types: only these types, at most 57.
        on_truncated: "fail" raises HistoryTruncated where "earliest" yields a `Gap`.
        on_state: called with each `ConnectionState`.
        wait_for_job: a job that is not there yet is waited for, instead of `JobNotFound`.
        give_up_after: seconds without a connection until `Unreachable` is raised. None: never.

    Raises:
        ValueError: an argument is wrong.
        Refused: while iterating, if the gateway does not allow it; `JobNotFound` is one.

    """
    return Watch(
        Terms.checked(job_id, kind, event_types, on_truncated),
        _checked_cursor(after, epoch),
        Gateway(url),
        TokenSource(token),
        on_state,
        wait_for_job,
        give_up_after,
    )


def _checked_cursor(after: int | None, epoch: str | None) -> Cursor:
    is_id = isinstance(after, int) and not isinstance(after, bool) and 0 <= after <= _LARGEST_ID
    if after is not None and not is_id:
        raise ValueError(f"after is {after!r}: an id from 0 to 2^53 - 1 is right, or None")
    return Cursor(after, epoch)

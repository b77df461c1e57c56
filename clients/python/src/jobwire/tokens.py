"""Tokens: a text, or a function that is asked for one whenever a new one is needed."""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Token: TypeAlias = str | Callable[[], str | Awaitable[str]] | None

# A token is renewed before it expires: by a quarter of its life, at most by this time in seconds.
_LONGEST_LEAD = 30.0


class TokenFailed(Exception):
    """The function that gives tokens did not give one."""


class TokenSource:
    """The token in use. However many ask for a new one at a time, the function is called once."""

    def __init__(self, token: Token = None) -> None:
        """Take the given token, else that of `JOBWIRE_TOKEN`, else none."""
        self._given = token if token is not None else os.environ.get("JOBWIRE_TOKEN") or None
        self._current: str | None = None
        self._renew_at: float | None = None
        self._asking: asyncio.Task[str] | None = None

    @property
    def is_renewable(self) -> bool:
        """Whether there is a function to ask."""
        return callable(self._given)

    async def current(self) -> str | None:
        """Return the token in use; a new one if that is about to expire, or there is none yet."""
        if not callable(self._given):
            return self._given
        if self._current is not None and (self.renew_in() or 1.0) > 0.0:
            return self._current
        return await self.renewed()

    async def renewed(self) -> str | None:
        """Ask for a new token, or wait for the answer that another has asked for."""
        if not callable(self._given):
            return self._given
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask(self._given))
        # Whoever is cancelled leaves the others their answer.
        return await asyncio.shield(self._asking)

    def expire(self) -> None:
        """Use the token no more, if another can be had."""
        self._current = None

    def renew_in(self) -> float | None:
        """Return the seconds until a new token is wanted; None if that is not known."""
        return None if self._renew_at is None else self._renew_at - time.monotonic()

    async def _ask(self, function: Callable[[], str | Awaitable[str]]) -> str:
        try:
            token = await _answer(function)
        except Exception as failure:
            raise TokenFailed(f"the token function failed: {failure!r}") from failure
        if not isinstance(token, str) or not token:
            raise TokenFailed(f"the token function gave {type(token).__name__}, not a text")
        self._current = token
        self._renew_at = _renewal(token)
        return token


async def _answer(function: Callable[[], str | Awaitable[str]]) -> str:
    # In a thread: a function that waits must not hold up everything else.
    answer = function() if inspect.iscoroutinefunction(function) else await _in_thread(function)
    return await answer if inspect.isawaitable(answer) else answer


async def _in_thread(function: Callable[[], str | Awaitable[str]]) -> str | Awaitable[str]:
    return await asyncio.to_thread(function)


def _renewal(token: str) -> float | None:
    expiry = _expiry(token)
    if expiry is None or (left := expiry - time.time()) <= 0:
        return None
    return time.monotonic() + left - min(_LONGEST_LEAD, left / 4)


def _expiry(token: str) -> float | None:
    """Return `exp` of a JSON Web Token, unverified: it only says when to ask for the next one."""
    try:
        claims = token.split(".")[1]
        decoded = base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4))
        expiry = json.loads(decoded)["exp"]
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None
    return float(expiry) if isinstance(expiry, int | float) else None

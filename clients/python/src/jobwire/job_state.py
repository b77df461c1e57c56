"""How a job stands, asked over plain HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request

from jobwire.addresses import Gateway
from jobwire.conversation import Cursor, Terms
from jobwire.life_cycle import Outcome
from jobwire.tokens import TokenFailed, TokenSource

_TIMEOUT = 10.0
_OUTCOMES: dict[object, Outcome] = {
    "succeeded": "completed",
    "failed": "failed",
    "stopped": "cancelled",
}

_log = logging.getLogger("jobwire")


async def ended_with(
    gateway: Gateway, terms: Terms, cursor: Cursor, tokens: TokenSource
) -> Outcome | None:
    """Return how the job ended, if it has, and nothing came after the cursor.

    None if that cannot be told: whoever asks is watching, and goes on.
    """
    try:
        token = await tokens.current()
        url = gateway.job(terms.kind, terms.job_id)
        state = await asyncio.to_thread(_fetched, url, token)
        return _OUTCOMES.get(state.get("status")) if _is_seen(state, cursor) else None
    except (OSError, ValueError, TokenFailed) as failure:
        _log.info("job %s: how it stands cannot be told: %s", terms.job_id, failure)
        return None


def _is_seen(state: dict[str, object], cursor: Cursor) -> bool:
    last, position, after = state.get("lastEventId"), state.get("position"), cursor.after or 0
    if not isinstance(last, int) or not isinstance(position, int):
        return False
    # A stream that was just made anew may still be told under its old epoch, from a lower position.
    return state.get("epoch") == cursor.epoch and last <= after <= position


def _fetched(url: str, token: str | None) -> dict[str, object]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        state = json.loads(answer.read(2**20))
    return state if isinstance(state, dict) else {}

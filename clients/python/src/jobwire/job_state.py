"""How a job stands, asked over plain HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request

from jobwire.addresses import Gateway
from jobwire.conversation import Terms
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
    gateway: Gateway, terms: Terms, after: int, tokens: TokenSource
) -> Outcome | None:
    """Return how the job ended, if it has, and nothing came after the event `after`.

    None if that cannot be told: whoever asks is watching, and goes on.
    """
    try:
        token = await tokens.current()
        url = gateway.job(terms.kind, terms.job_id)
        state = await asyncio.to_thread(_fetched, url, token)
        last = state.get("lastEventId")
        is_seen = isinstance(last, int) and last <= after
        return _OUTCOMES.get(state.get("status")) if is_seen else None
    except (OSError, ValueError, TokenFailed) as failure:
        _log.info("job %s: how it stands cannot be told: %s", terms.job_id, failure)
        return None


def _fetched(url: str, token: str | None) -> dict[str, object]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        state = json.loads(answer.read(2**20))
    return state if isinstance(state, dict) else {}

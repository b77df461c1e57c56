"""Keeps a fault in a report from ending what it reports on."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])

_log = logging.getLogger("jobwire")


def harmless(function: _Function) -> _Function:
    """Log what a function raises, and return None in its place."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            _log.exception("%s failed", function.__qualname__)
            return None

    return guarded  # type: ignore[return-value]

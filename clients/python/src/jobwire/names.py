"""The rules for names: of kinds, jobs and event types."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def checked_name(what: str, name: str) -> str:
    """Return a job's id or kind, or raise ValueError with what would be right."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ValueError(f"{what} {name!r} is no name: 1 to 128 of A-Z a-z 0-9 _ - are allowed")


def checked_event_type(name: str) -> str:
    """Return an event type, or raise ValueError with what would be right."""
    if isinstance(name, str) and _EVENT_TYPE.fullmatch(name):
        return name
    raise ValueError(f"event type {name!r} is none: 1 to 64 of A-Z a-z 0-9 _ - are allowed")


def checked_key(key: str) -> str:
    """Return a key for repeating an event safely, or raise ValueError with what would be right."""
    if isinstance(key, str) and _KEY.fullmatch(key):
        return key
    raise ValueError(f"key {key!r} is none: 1 to 200 visible ASCII characters are allowed")

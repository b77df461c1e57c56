"""What a watch can end with, beside the end of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobwire.events import Gap


class JobwireError(Exception):
    """Base of everything that this package raises on its own."""


class Refused(JobwireError):
    """The gateway refused the watch. `code` is one of its codes, such as `FORBIDDEN`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"


class JobNotFound(Refused):
    """No event of the job is stored, and none came within the gateway's grace."""


class HistoryTruncated(Refused):
    """Events after the cursor are gone, and `on_truncated="fail"` was asked for."""

    def __init__(self, gap: Gap, message: str) -> None:
        super().__init__("HISTORY_TRUNCATED", message)
        self.gap = gap

    def __reduce__(self) -> tuple[type[HistoryTruncated], tuple[Gap, str]]:
        return type(self), (self.gap, self.message)


class Unreachable(JobwireError):
    """No connection for as long as `give_up_after` allows."""


class ProtocolError(JobwireError):
    """Gateway and client do not understand each other; trying again would not help."""

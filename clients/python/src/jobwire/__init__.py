"""Watch long-running jobs, and report on them, through a jobwire gateway or NATS JetStream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobwire.conversation import Cursor
from jobwire.errors import (
    HistoryTruncated,
    JobNotFound,
    JobwireError,
    ProtocolError,
    Refused,
    Unreachable,
)
from jobwire.events import (
    Event,
    Gap,
    Item,
    IterationCompleted,
    JobCancelled,
    JobCompleted,
    JobCreated,
    JobFailed,
    JobPaused,
    JobResumed,
    JobStarted,
    Progress,
    Reset,
)
from jobwire.publishing.job_publisher import JobPublisher, run
from jobwire.publishing.outbox import Statistics
from jobwire.publishing.progress_publisher import ProgressPublisher
from jobwire.watching import ConnectionState, Watch, watch
from jobwire.watching_sync import SyncWatch, watch_sync

if TYPE_CHECKING:
    from jobwire.progress_bar import tqdm

__version__ = "0.1.0"

__all__ = [
    "ConnectionState",
    "Cursor",
    "Event",
    "Gap",
    "HistoryTruncated",
    "Item",
    "IterationCompleted",
    "JobCancelled",
    "JobCompleted",
    "JobCreated",
    "JobFailed",
    "JobNotFound",
    "JobPaused",
    "JobPublisher",
    "JobResumed",
    "JobStarted",
    "JobwireError",
    "Progress",
    "ProgressPublisher",
    "ProtocolError",
    "Refused",
    "Reset",
    "Statistics",
    "SyncWatch",
    "Unreachable",
    "Watch",
    "run",
    "tqdm",
    "watch",
    "watch_sync",
]


def __getattr__(name: str) -> Any:
    # tqdm is looked for when it is asked for: not everybody has it.
    if name == "tqdm":
        from jobwire.progress_bar import tqdm

        return tqdm
    raise AttributeError(f"module 'jobwire' has no attribute {name!r}")

"""Publishing the progress of an agent's task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobwire.publishing.outbox import Limits
from jobwire.publishing.publisher import Publisher
from jobwire.tokens import Token

_ENDINGS = {"completed": "job_completed", "failed": "job_failed"}


class ProgressPublisher(Publisher):
    """Publishes the steps of one task, from any thread, without ever waiting or raising.

    Watchers of `/ws/agent-progress/{task_id}` get them, and those of the kind `agent` anywhere.
    """

    def __init__(
        self,
        task_id: str,
        *,
        kind: str = "agent",
        url: str | None = None,
        token: Token = None,
        nats_options: Mapping[str, Any] | None = None,
        max_waiting: int = 10_000,
        max_waiting_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        """Make a publisher. The arguments are those of `JobPublisher`."""
        limits = Limits(max_waiting, max_waiting_bytes)
        super().__init__(task_id, kind, url, token, nats_options, limits)

    def publish(
        self, message: str, percent: float, step: str, tool: str | None = None, error: bool = False
    ) -> None:
        """Tell what the task does.

        Args:
            message: a sentence for people.
            percent: how far the task is, 0 to 100.
            step: such as `tool_execution` or `reasoning`. `completed` and `failed` end the task.
            tool: the tool that is at work.
            error: whether this step went wrong; the task goes on, unless the step is `failed`.

        """
        data: dict[str, Any] = {"message": message, "percent": _whole(percent)}
        if tool is not None:
            data["tool"] = tool
        if step == "failed":
            data["error"] = message
        elif error:
            data["error"] = True
        self._accept(_ENDINGS.get(step, "progress"), data, stage=step)


def _whole(percent: object) -> object:
    # Watchers take whole numbers from 0 to 100 only; what is no number is their gateway's to judge.
    try:
        return min(100, max(0, round(float(percent))))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return 0

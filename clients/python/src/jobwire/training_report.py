"""What the callbacks for training frameworks have in common: epochs, losses, and an end.

The events are those that clients of a training service know: `progress` with `current_epoch`,
`total_epochs` and `current_loss`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from jobwire.publishing.job_publisher import JobPublisher
from jobwire.tokens import Token

TRAINING_KIND = "training"

_Class = TypeVar("_Class")


class TrainingReport:
    """Base of the callbacks. Whatever else a framework calls as `on_…` does nothing."""

    # Where the framework's own base class may be: some refuse a callback that is not of it.
    _bases: tuple[tuple[str, str], ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a callback of the framework's own class, if the framework is in use."""
        own = _with_base(cls, cls._bases)
        return object.__new__(own)

    def __init__(
        self,
        job_id: str,
        *,
        kind: str = TRAINING_KIND,
        url: str | None = None,
        token: Token = None,
        nats_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.job = JobPublisher(job_id, kind=kind, url=url, token=token, nats_options=nats_options)
        self._epochs: int | None = None
        self._last: dict[str, float] = {}
        self._has_ended = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def _begin(self, epochs: int | None, **config: Any) -> None:
        self._epochs, self._has_ended, self._last = epochs, False, {}
        self.job.started({"total_epochs": epochs, **config})

    def _tell(self, epoch: float, metrics: Mapping[str, Any]) -> None:
        numbers = _numbers(metrics)
        self._last |= numbers
        told: dict[str, Any] = {"status": "running", "current_epoch": epoch, **numbers}
        if "loss" in numbers:
            told["current_loss"] = numbers["loss"]
        if self._epochs:
            told["total_epochs"] = self._epochs
        fraction = min(1.0, epoch / self._epochs) if self._epochs else None
        self.job.progress(fraction, iteration=epoch, **told)

    def _complete(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self.job.completed(final_metrics=self._last)

    def _fail(self, error: BaseException) -> None:
        if not self._has_ended:
            self._has_ended = True
            if isinstance(error, KeyboardInterrupt):
                self.job.cancelled()
            else:
                self.job.failed(error)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing."""


def _with_base(own: type[_Class], places: tuple[tuple[str, str], ...]) -> type[_Class]:
    for module, name in places:
        base = getattr(sys.modules.get(module), name, None)
        if isinstance(base, type) and not issubclass(own, base):
            return type(own.__name__, (own, base), {"__module__": own.__module__})
    return own


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what of the metrics is a number; tensors and numpy's numbers are."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError, RuntimeError):
            continue
    return found

"""A callback for Optuna: `study.optimize(objective, callbacks=[JobwireCallback("my-study")])`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jobwire.harmless import harmless
from jobwire.publishing.job_publisher import DEFAULT_KIND, JobPublisher
from jobwire.tokens import Token

if TYPE_CHECKING:
    import optuna


class JobwireCallback:
    """Publishes each trial of a study, from however many threads it runs in.

    With `n_trials` the job is completed after that many trials. Otherwise use it in a `with`, or
    call `finish`: Optuna does not tell its callbacks that it is done.
    """

    def __init__(
        self,
        job_id: str,
        *,
        n_trials: int | None = None,
        kind: str = DEFAULT_KIND,
        url: str | None = None,
        token: Token = None,
        nats_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a callback. `n_trials` is what `optimize` is told; the rest is `JobPublisher`'s."""
        self.job = JobPublisher(job_id, kind=kind, url=url, token=token, nats_options=nats_options)
        self._n_trials = n_trials
        self._finished = 0
        self._study: optuna.Study | None = None
        self._has_ended = False
        self._lock = threading.RLock()
        self.job.started({"totalIterations": n_trials} if n_trials else None)

    @harmless
    def __call__(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Publish a trial that is over."""
        with self._lock:
            self._study = study
            self._finished += 1
            self._tell(study, trial)
            if self._finished == self._n_trials:
                self.finish()

    @harmless
    def finish(self) -> None:
        """Tell that the study is done."""
        with self._lock:
            if not self._has_ended:
                self._has_ended = True
                best = {} if self._study is None else _best(self._study)
                score = {"finalScore": best["best"]} if "best" in best else {}
                self.job.completed(trials=self._finished, **score, **best)

    def __enter__(self) -> JobwireCallback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        elif not self._has_ended:
            self._has_ended = True
            if isinstance(error, KeyboardInterrupt):
                self.job.cancelled(finalIteration=self._finished)
            else:
                self.job.failed(error)
        self.job.close()

    def _tell(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        state = trial.state.name.lower()
        told: dict[str, Any] = {"trial": trial.number, "state": state, "params": trial.params}
        told |= _best(study)
        if trial.duration is not None:
            told["seconds"] = trial.duration.total_seconds()
        if self._n_trials:
            told["totalIterations"] = self._n_trials
            told["progress"] = min(1.0, self._finished / self._n_trials)
        if state != "complete":
            self.job.publish(f"trial_{state}", told, iteration=trial.number + 1)
        elif len(trial.values) == 1:
            self.job.iteration(trial.number + 1, trial.values[0], **told)
        else:
            self.job.iteration(trial.number + 1, values=trial.values, **told)


def _best(study: optuna.Study) -> dict[str, Any]:
    if len(study.directions) > 1:
        return {"directions": [direction.name.lower() for direction in study.directions]}
    direction = {"direction": study.direction.name.lower()}
    try:
        return direction | {"best": study.best_value, "bestParams": study.best_params}
    except ValueError:  # no trial is complete
        return direction

"""A callback for Hugging Face's `Trainer(..., callbacks=[JobwireCallback("my-run")])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobwire.harmless import harmless
from jobwire.training_report import TrainingReport


class JobwireCallback(TrainingReport):
    """Publishes what the trainer logs: losses and evaluations, with the epoch they belong to."""

    _bases = (("transformers.trainer_callback", "TrainerCallback"),)

    @harmless
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell that the training has started."""
        if _is_main(state):
            epochs = getattr(args, "num_train_epochs", None)
            self._begin(epochs, max_steps=getattr(state, "max_steps", None))

    @harmless
    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Tell what the trainer logs."""
        if _is_main(state):
            self._tell(getattr(state, "epoch", None) or 0.0, logs or {})

    @harmless
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell that the training is done."""
        if _is_main(state):
            self._complete()


def _is_main(state: Any) -> bool:
    # One process of many reports.
    return bool(getattr(state, "is_world_process_zero", True))

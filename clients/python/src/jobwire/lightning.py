"""A callback for Lightning's `Trainer(callbacks=[JobwireCallback("my-run")])`."""

from __future__ import annotations

from typing import Any

from jobwire.harmless import harmless
from jobwire.training_report import TrainingReport


class JobwireCallback(TrainingReport):
    """Publishes the logged metrics after each epoch of training."""

    _bases = (
        ("lightning.pytorch.callbacks", "Callback"),
        ("pytorch_lightning.callbacks", "Callback"),
    )

    @harmless
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Tell that the training has started."""
        if _is_main(trainer):
            epochs = getattr(trainer, "max_epochs", None)
            self._begin(epochs if epochs and epochs > 0 else None)

    @harmless
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Tell an epoch, counted from 0 by Lightning and from 1 here."""
        if _is_main(trainer):
            metrics = dict(trainer.callback_metrics)
            if "loss" not in metrics and "train_loss" in metrics:
                metrics["loss"] = metrics["train_loss"]
            self._tell(trainer.current_epoch + 1, metrics)

    @harmless
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Tell that the training is done."""
        if _is_main(trainer):
            self._complete()

    @harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Tell that the training has failed."""
        if _is_main(trainer):
            self._fail(exception)


def _is_main(trainer: Any) -> bool:
    # One process of many reports.
    return bool(getattr(trainer, "is_global_zero", True))

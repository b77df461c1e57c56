"""A callback for Keras: `model.fit(..., callbacks=[JobwireCallback("my-run")])`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobwire.harmless import harmless
from jobwire.training_report import TrainingReport


class JobwireCallback(TrainingReport):
    """Publishes each epoch of a training, for Keras and for loops that call the same functions."""

    _bases = (("keras.callbacks", "Callback"), ("tf_keras.callbacks", "Callback"))

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Take what the training was told."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self._model = model

    @harmless
    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Tell that the training has started."""
        params = self.__dict__.get("params") or {}
        self._begin(params.get("epochs"), steps=params.get("steps"))

    @harmless
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Tell an epoch, counted from 0 by Keras and from 1 here."""
        self._tell(epoch + 1, logs or {})

    @harmless
    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Tell that the training is done."""
        self._complete()

"""The callbacks: a real Optuna, a real tqdm, and loops that call as the other frameworks do."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import types
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

import jobwire
import jobwire.keras
import jobwire.lightning
import jobwire.transformers
from jobwire.optuna import JobwireCallback
from stage import PATIENCE, Gateway, NatsServer

optuna.logging.disable_default_handler()


def types_of(events: list[dict[str, Any]]) -> list[str]:
    return [event["eventType"] for event in events]


def square(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1, 1)
    if trial.number == 2:
        raise optuna.TrialPruned
    if trial.number == 3:
        raise KeyError("a trial that fails")
    return x**2


def test_a_study_tells_its_trials_and_its_best(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    callback = JobwireCallback(job, n_trials=8, url=gateway.url)
    study.optimize(square, n_trials=8, callbacks=[callback], catch=[KeyError], n_jobs=2)
    assert callback.job.flush(PATIENCE)
    stored = nats_server.stored("optimization", job)
    assert types_of(stored)[0] == "job_started"
    assert sorted(types_of(stored)[1:-1]) == ["iteration_completed"] * 6 + [
        "trial_fail",
        "trial_pruned",
    ]
    assert stored[-1]["eventType"] == "job_completed"
    assert stored[-1]["data"]["finalScore"] == study.best_value
    told = {event["iteration"] - 1: event["data"] for event in stored[1:-1]}
    for trial in study.trials:
        assert told[trial.number]["params"] == trial.params
        if trial.state.name == "COMPLETE":
            assert told[trial.number]["score"] == trial.value
    assert stored[-2]["data"]["progress"] == 1


def test_a_study_with_several_goals_tells_all_values(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    with JobwireCallback(job, url=gateway.url) as report:
        study.optimize(
            lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=2, callbacks=[report]
        )
    stored = nats_server.stored("optimization", job)
    assert [len(event["data"]["values"]) for event in stored[1:-1]] == [2, 2]
    assert stored[-1]["eventType"] == "job_completed"


def test_a_study_that_breaks_is_a_job_that_failed(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    study = optuna.create_study()
    with pytest.raises(KeyError), JobwireCallback(job, url=gateway.url) as report:
        study.optimize(square, n_trials=8, callbacks=[report])
    stored = nats_server.stored("optimization", job)
    assert stored[-1]["eventType"] == "job_failed"
    assert "a trial that fails" in stored[-1]["data"]["error"]


class Tensor:
    """A number as the frameworks have them."""

    def __float__(self) -> float:
        return 0.25


def test_keras_tells_its_epochs(nats_server: NatsServer, gateway: Gateway, job: str) -> None:
    report = jobwire.keras.JobwireCallback(job, url=gateway.url)
    report.set_params({"epochs": 2, "steps": 10})
    report.set_model(object())
    report.on_train_begin({})
    for epoch in range(2):
        report.on_epoch_begin(epoch, {})
        report.on_train_batch_end(1, {"loss": 1})
        report.on_epoch_end(epoch, {"loss": Tensor(), "accuracy": 0.5, "name": "x"})
    report.on_train_end({})
    assert report.job.flush(PATIENCE)
    started, _, second, completed = nats_server.stored("training", job)
    assert started["data"]["config"]["total_epochs"] == 2
    assert second["iteration"] == 2
    assert second["data"]["progress"] == 1
    assert second["data"]["current_loss"] == 0.25
    assert "name" not in second["data"]
    assert completed["data"]["final_metrics"] == {"loss": 0.25, "accuracy": 0.5}


def test_the_training_dialect_shows_it(gateway: Gateway, job: str) -> None:
    import json
    import urllib.request

    report = jobwire.keras.JobwireCallback(job, url=gateway.url)
    report.set_params({"epochs": 4})
    report.on_train_begin()
    report.on_epoch_end(0, {"loss": 0.5})
    assert report.job.flush(PATIENCE)
    with urllib.request.urlopen(f"{gateway.url}/api/v1/training-jobs/{job}") as answer:
        state = json.load(answer)
    told = {name: state[name] for name in ("status", "progress", "current_epoch", "current_loss")}
    expected = {"status": "running", "progress": 0.25, "current_epoch": 1, "current_loss": 0.5}
    assert told == expected
    assert state["total_epochs"] == 4


def test_transformers_tells_what_it_logs(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    report = jobwire.transformers.JobwireCallback(job, url=gateway.url)
    arguments, control = SimpleNamespace(num_train_epochs=2), SimpleNamespace()
    state = SimpleNamespace(is_world_process_zero=True, epoch=0.5, max_steps=100)
    assert report.on_init_end(arguments, state, control) is None
    report.on_train_begin(arguments, state, control, model=None)
    report.on_log(arguments, state, control, logs={"loss": 0.75, "learning_rate": 1e-4})
    other = SimpleNamespace(is_world_process_zero=False, epoch=0.5)
    report.on_log(arguments, other, control, logs={"loss": 9})
    report.on_train_end(arguments, state, control)
    assert report.job.flush(PATIENCE)
    _, progress, completed = nats_server.stored("training", job)
    assert (progress["data"]["progress"], progress["data"]["current_loss"]) == (0.25, 0.75)
    assert completed["eventType"] == "job_completed"


def test_lightning_tells_epochs_and_failures(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    report = jobwire.lightning.JobwireCallback(job, url=gateway.url)
    trainer = SimpleNamespace(
        is_global_zero=True,
        max_epochs=4,
        current_epoch=0,
        callback_metrics={"train_loss": Tensor()},
    )
    report.on_fit_start(trainer, None)
    report.on_train_batch_end(trainer, None, {}, {}, 0)
    report.on_train_epoch_end(trainer, None)
    report.on_exception(trainer, None, ValueError("no memory"))
    report.on_fit_end(trainer, None)
    assert report.job.flush(PATIENCE)
    stored = nats_server.stored("training", job)
    assert types_of(stored) == ["job_started", "progress", "job_failed"]
    assert stored[1]["data"]["current_loss"] == 0.25


@pytest.mark.parametrize(
    ("framework", "module", "name"),
    [
        ("keras", "keras.callbacks", "Callback"),
        ("transformers", "transformers.trainer_callback", "TrainerCallback"),
        ("lightning", "lightning.pytorch.callbacks", "Callback"),
    ],
)
def test_a_framework_that_is_in_use_gets_a_callback_of_its_own_class(
    framework: str, module: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = type(name, (), {"on_something_new": lambda self: "the framework's own"})
    monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    setattr(sys.modules[module], name, base)
    own = importlib.import_module(f"jobwire.{framework}").JobwireCallback
    report = own("job")
    assert isinstance(report, base)
    assert isinstance(report, own)
    assert report.on_something_new() == "the framework's own"


def test_a_callback_never_breaks_the_training(caplog: pytest.LogCaptureFixture) -> None:
    report = jobwire.lightning.JobwireCallback("job", url="http://127.0.0.1:9")
    report.on_train_epoch_end(object(), None)
    assert "on_train_epoch_end failed" in caplog.text


def bar(gateway: Gateway, job: str, items: Any, **more: Any) -> jobwire.tqdm[int]:
    return jobwire.tqdm(items, job_id=job, url=gateway.url, file=io.StringIO(), **more)


@pytest.mark.parametrize("disable", [False, True])
def test_a_bar_is_a_job(nats_server: NatsServer, gateway: Gateway, job: str, disable: bool) -> None:
    progress = bar(gateway, job, range(5), desc="work", disable=disable)
    assert list(progress) == list(range(5))
    assert progress.job.flush(PATIENCE)
    stored = nats_server.stored("optimization", job)
    assert types_of(stored) == ["job_started", "progress", "progress", "job_completed"]
    assert stored[-2]["iteration"] == 5
    assert stored[-2]["data"]["progress"] == 1
    assert stored[-2]["data"]["message"] == "work: 5/5"


def test_a_bar_that_is_left_early_is_a_job_that_was_cancelled(
    nats_server: NatsServer, gateway: Gateway, job: str
) -> None:
    progress = bar(gateway, job, range(5))
    for item in progress:
        if item == 2:
            break
    assert progress.job.flush(PATIENCE)
    last = nats_server.stored("optimization", job)[-1]
    assert (last["eventType"], last["data"]) == ("job_cancelled", {"finalIteration": 2})


def test_what_is_iterated_may_fail(nats_server: NatsServer, gateway: Gateway, job: str) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is full")

    progress = bar(gateway, job, items())
    with pytest.raises(OSError, match="the disk is full"):
        list(progress)
    assert progress.job.flush(PATIENCE)
    assert nats_server.stored("optimization", job)[-1]["eventType"] == "job_failed"


def test_a_bar_moved_by_hand(nats_server: NatsServer, gateway: Gateway, job: str) -> None:
    with bar(gateway, job, None, total=10) as progress:
        progress.update(4)
        progress.update(6)
    failing = bar(gateway, f"{job}-failed", None, total=10)
    with contextlib.suppress(KeyError), failing:
        failing.update(4)
        raise KeyError("no")
    part = bar(gateway, f"{job}-part", range(3), life_cycle=False)
    list(part)
    for one in (progress, failing, part):
        assert one.job.flush(PATIENCE)
    assert types_of(nats_server.stored("optimization", job))[-1] == "job_completed"
    assert types_of(nats_server.stored("optimization", f"{job}-failed"))[-1] == "job_failed"
    assert set(types_of(nats_server.stored("optimization", f"{job}-part"))) == {"progress"}

"""An Optuna study on scikit-learn's digits, to be watched trial by trial.

    python examples/optuna_digits.py my-study
    python -c "import jobwire; [print(event) for event in jobwire.watch_sync('my-study')]"

Needs optuna and scikit-learn. `JOBWIRE_URL` is the gateway's address, unless it is
http://127.0.0.1:8080.
"""

import sys

import optuna
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import cross_val_score

from jobwire.optuna import JobwireCallback

TRIALS = 12


def objective(trial: optuna.Trial) -> float:
    images, digits = load_digits(return_X_y=True)
    model = SGDClassifier(
        alpha=trial.suggest_float("alpha", 1e-6, 1e-1, log=True),
        penalty=trial.suggest_categorical("penalty", ["l2", "l1", "elasticnet"]),
        loss=trial.suggest_categorical("loss", ["hinge", "log_loss", "modified_huber"]),
        max_iter=20,
        tol=None,
        random_state=1,
    )
    return float(cross_val_score(model, images / 16.0, digits, cv=3).mean())


def main(job_id: str) -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    with JobwireCallback(job_id, n_trials=TRIALS) as report:
        study.optimize(objective, n_trials=TRIALS, callbacks=[report])
    print(f"best accuracy {study.best_value:.3f} with {study.best_params}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "optuna-digits")

"""A training that goes on epoch by epoch, with its losses, as a job of the kind `training`.

    python examples/incremental_training.py my-run

Needs scikit-learn. `JOBWIRE_URL` is the gateway's address, unless it is http://127.0.0.1:8080;
`JOBWIRE_PUBLISH_URL=nats://…` publishes to NATS instead.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import jobwire

EPOCHS = 15
BATCH = 64


def main(job_id: str) -> None:
    images, digits = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, digits, test_size=0.25, random_state=1)
    train_x, test_x, train_y, test_y = parts
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.01, random_state=1)
    shuffle = np.random.default_rng(1)
    classes = np.unique(digits)

    with jobwire.run(job_id, {"total_epochs": EPOCHS, "batch": BATCH}, kind="training") as job:
        for epoch in range(1, EPOCHS + 1):
            for rows in np.array_split(shuffle.permutation(len(train_x)), len(train_x) // BATCH):
                model.partial_fit(train_x[rows], train_y[rows], classes=classes)
            loss = log_loss(train_y, model.predict_proba(train_x))
            accuracy = model.score(test_x, test_y)
            job.progress(
                epoch / EPOCHS,
                iteration=epoch,
                status="running",
                current_epoch=epoch,
                total_epochs=EPOCHS,
                current_loss=loss,
                accuracy=accuracy,
            )
            if epoch % 5 == 0:
                job.log(f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}")
    print(f"loss {loss:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "incremental-training")

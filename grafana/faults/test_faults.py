"""What is broken, and which alerts fire then: the right one, and no other.

Rules are as they are, but with every time in them divided by 30, so that 5 minutes are 10 seconds. Before a fault
no alert may be pending; after it the right one has to end.
"""

import itertools
import json
import signal
import time

import pytest
from load import Load, Sleeper, store_history
from stage import Gateway, NatsServer, Prometheus, Stage

QUICKER = 30
# Longer than the longest range and wait of an alert that is expected here, quickened: 15 minutes and 2 minutes.
ALL_OVER = 60
# On a machine that has other work some deliveries are late, whatever is broken.
ON_A_BUSY_MACHINE = {"JobwireLatencyBudgetBurnsFast", "JobwireLatencyBudgetBurnsSlowly"}


class Trial:
    """Two gateways under load, and the alerts there are."""

    def __init__(self, stage, *options):
        self.stage = stage
        self.nats = NatsServer(stage)
        self.gateways = [Gateway(stage, self.nats, "--publish=true", "--window=4MiB", *options) for _ in range(2)]
        store_history(self.gateways[0])
        self.prometheus = Prometheus(stage, self.gateways, QUICKER)
        Load(stage, self.gateways)
        # Live deliveries have to flow for as long as the rules look back before anything can be told.
        time.sleep(15)
        for state in ("pending", "firing"):
            assert self.prometheus.alerts(state) <= ON_A_BUSY_MACHINE, "on a good day"

    def watched(self, what, *, fires, may_fire=(), break_it, mend_it=None, during=5.0, patience=40):
        """Breaks something, waits until all that should fire does, mends it, and waits until that is over.

        What cannot be mended does not end."""
        begun = time.monotonic()
        fired = {}
        repeat = break_it()  # A generator is what is done again and again.
        deadline = begun + patience
        while (set(fires) - fired.keys() or time.monotonic() < begun + during) and time.monotonic() < deadline:
            self._look(fired, begun)
            if repeat:
                next(repeat)
            time.sleep(0.2)
        mended = time.monotonic()
        if mend_it:
            mend_it()
        while mend_it and self.prometheus.alerts("firing") & set(fires) and time.monotonic() < mended + ALL_OVER:
            self._look(fired, begun)
            time.sleep(0.2)
        # What is late: a wrong alert may come of the mending.
        for _ in range(25):
            self._look(fired, begun)
            time.sleep(0.2)
        told = ", ".join(f"{name} after {QUICKER * second / 60:.1f} min" for name, second in fired.items())
        print(f"\n{what}: {told or 'nothing fires'}; broken for {QUICKER * (mended - begun) / 60:.1f} min")
        assert set(fires) <= fired.keys(), f"silent: {set(fires) - fired.keys()}"
        wrong = fired.keys() - set(fires) - set(may_fire) - ON_A_BUSY_MACHINE
        assert not wrong, f"wrong: {wrong}"
        assert not mend_it or not self.prometheus.alerts("firing") & set(fires), "it is over"

    def _look(self, fired, begun):
        for name in self.prometheus.alerts("firing"):
            fired.setdefault(name, time.monotonic() - begun)


@pytest.fixture
def trial(tmp_path):
    with Stage(tmp_path) as stage:
        yield lambda *options: Trial(stage, *options)


def test_nats_is_stopped(trial):
    trial = trial()
    trial.watched(
        "NATS stopped",
        fires=["JobwireNatsDisconnected"],
        break_it=lambda: trial.nats.end(signal.SIGTERM),
        mend_it=trial.nats.start,
        during=20,
    )


def test_nats_stands_still(trial):
    """Sockets stay open, and nobody answers."""
    trial = trial()
    trial.watched(
        "NATS stands still",
        fires=["JobwireNatsDisconnected"],
        break_it=lambda: trial.nats.send(signal.SIGSTOP),
        mend_it=lambda: trial.nats.send(signal.SIGCONT),
        during=20,
    )


def test_the_stream_is_gone(trial):
    """And another one of its name comes, so that all cursors are of no use."""
    trial = trial()
    trial.watched(
        "the stream is deleted, and made anew",
        fires=["JobwireTailNotReady", "JobwirePublishingFails"],
        may_fire=[
            "JobwireNatsRequestsFail",
            "JobwireTailRestarts",
            "JobwireCatchUpFails",
            "JobwireCursorsInvalid",
        ],
        break_it=lambda: trial.nats.request("$JS.API.STREAM.DELETE.JOBS") and None,
        mend_it=trial.nats.apply,
        during=20,
    )


def test_retention_is_too_short(trial):
    trial = trial("--page-cache=1MiB")

    def shortened():
        stream = trial.nats.request("$JS.API.STREAM.INFO.JOBS")["config"]
        wanted = json.dumps({**stream, "max_msgs": 2_000}).encode()
        assert "error" not in trial.nats.request("$JS.API.STREAM.UPDATE.JOBS", wanted)

    trial.watched(
        "retention takes what watchers want",
        fires=["JobwireTruncations"],
        may_fire=["JobwireWatchesBudgetBurnsFast", "JobwireWatchesBudgetBurnsSlowly"],
        break_it=shortened,
    )


def test_a_producer_stores_nonsense(trial):
    trial = trial()
    trial.watched(
        "a message that is no event",
        fires=["JobwireMalformedEvents"],
        break_it=lambda: trial.nats.request("jobs.optimization.live.progress", b"no event") and None,
        mend_it=lambda: None,
    )


def test_clients_do_not_read(trial):
    trial = trial("--stuck-timeout=1s", "--send-buffer=4KiB")

    def asleep():
        for _ in range(10):
            Sleeper(trial.stage, trial.gateways[0])

    trial.watched(
        "ten clients that do not read",
        fires=["JobwireSlowClientsClosed"],
        may_fire=["JobwireWatchesBudgetBurnsFast", "JobwireWatchesBudgetBurnsSlowly"],
        break_it=asleep,
        mend_it=lambda: None,
    )


def test_the_tail_restarts(trial):
    """Its consumer is deleted, every three seconds."""
    trial = trial()

    def again():
        last = 0
        for _ in itertools.count():
            if time.monotonic() > last + 3:
                last = time.monotonic()
                trial.nats.delete_consumers()
            yield

    trial.watched(
        "tails restarted",
        fires=["JobwireTailRestarts"],
        break_it=again,
        mend_it=lambda: None,
        during=10,
    )


def test_a_gateway_drains_in_time(trial):
    trial = trial("--drain=3s")
    gateway = trial.gateways[1]

    def restarted():
        gateway.end(signal.SIGTERM)
        gateway.start()

    trial.watched("a rollout of one gateway", fires=[], break_it=restarted, mend_it=lambda: None, during=10)


def test_a_gateway_does_not_stop(trial):
    trial = trial("--drain=10m")
    gateway = trial.gateways[1]

    def killed():
        gateway.end()
        gateway.start()

    trial.watched(
        "a drain without an end",
        fires=["JobwireDrainStuck"],
        break_it=lambda: gateway.send(signal.SIGTERM),
        mend_it=killed,
        during=10,
    )


def test_a_gateway_is_killed(trial):
    trial = trial()
    gateway = trial.gateways[1]
    trial.watched(
        "a gateway is gone",
        fires=["JobwireDown"],
        break_it=gateway.end,
        mend_it=gateway.start,
        during=10,
    )


def test_all_gateways_are_gone(trial):
    trial = trial()
    trial.watched(
        "all gateways are gone",
        fires=["JobwireAbsent", "JobwireDown"],
        break_it=lambda: [gateway.end() for gateway in trial.gateways] and None,
        mend_it=lambda: [gateway.start() for gateway in trial.gateways],
        during=10,
    )


def test_a_gateway_is_full(trial):
    trial = trial("--max-connections=12")

    def crowd():
        for _ in range(15):
            Sleeper(trial.stage, trial.gateways[0])

    def gone():
        trial.gateways[0].end()
        trial.gateways[0].start()

    trial.watched(
        "more clients than there is room for",
        fires=["JobwireConnectionsFull"],
        break_it=crowd,
        mend_it=gone,
    )

"""Every figure that the model is made of, once: what it is, how it is known, and by which command.

`measured`: by the command, on the machine of docs/performance.md; median of three rounds, with the
smallest and the largest. `read`: in the gateway's own source or settings. `assumed`: neither.
"""

from typing import NamedTuple

MEASURE = "measure.py"


class Constant(NamedTuple):
    """One figure. `low` and `high` are the smallest and the largest round, where there were several."""

    value: float
    unit: str
    meaning: str
    known: str
    source: str
    low: float | None = None
    high: float | None = None


def measured(value, unit, meaning, source, low=None, high=None):
    """A figure of a command."""
    return Constant(value, unit, meaning, "measured", source, low, high)


CONSTANTS = {
    "tail_pod_200": measured(0, "µs", "an event, in a pod that watches nothing of it, at 200 events/s", f"{MEASURE} tail"),
}


def value(name):
    """The figure alone."""
    return CONSTANTS[name].value

"""Every figure that the model is made of, once: what it is, how it is known, and by which command.

`measured`: by the command, on the machine of docs/performance.md, busy with other work; the median of three rounds
with the smallest and the largest, where it had rounds. `read`: in the gateway's source or its documents.
`assumed`: neither. The commands are those of this directory and `jobwire bench`.
"""

from typing import NamedTuple


class Constant(NamedTuple):
    """One figure. `low` and `high` are the smallest and the largest round."""

    value: float
    unit: str
    meaning: str
    known: str
    source: str
    low: float | None = None
    high: float | None = None


def measured(source, meaning, unit, value, low=None, high=None):
    """A figure of a command."""
    return Constant(value, unit, meaning, "measured", source, low, high)


def read(source, meaning, unit, value):
    """A figure of the source or the documents."""
    return Constant(value, unit, meaning, "read", source)


def assumed(reason, meaning, unit, value):
    """A figure that nobody has measured."""
    return Constant(value, unit, meaning, "assumed", reason)


TAIL = "measure.py tail"
SPREAD = "jobwire bench fan-out --jobs J --watchers W --rate R"
PAGES = "measure.py pages --stored 10000"
STORM = "jobwire bench storm --clients 2000"

CONSTANTS = {
    # One tail of everything.
    "tail_pod_200": measured(
        TAIL, "an event, for a pod where nobody watches its job, at 200 events/s", "µs", 117, 88.3, 161
    ),
    "tail_pod_2000": measured(TAIL, "… at 2,000/s", "µs", 28.3, 22.4, 37.1),
    "tail_pod_10000": measured(TAIL, "… at 10,000/s", "µs", 6.75, 5.21, 9.49),
    "tail_broker_200": measured(
        TAIL, "an event, for the broker and each further gateway, at 200 events/s", "µs", 29.0, 26.7, 56.8
    ),
    "tail_broker_2000": measured(TAIL, "… at 2,000/s", "µs", 12.7, 9.6, 14.0),
    "tail_broker_10000": measured(TAIL, "… at 10,000/s", "µs", 3.75, 3.0, 4.46),
    "publish_200": measured(TAIL, "an event, for a broker that stores it, at 200 events/s", "µs", 204, 158, 241),
    "publish_2000": measured(TAIL, "… at 2,000/s", "µs", 65.3, 61.2, 65.8),
    "publish_10000": measured(TAIL, "… at 10,000/s", "µs", 15.6, 14.5, 18.7),
    "publish_factor": measured(
        f"{TAIL} --servers 3", "the same for three brokers that all store it, together, at 2,000/s", "×", 3.5, 3.4, 4.0
    ),
    "cluster_factor": measured(
        f"{TAIL} --servers 3", "a further gateway's part in a cluster of three, beside one server", "×", 1.26, 0, 1.6
    ),
    "stream_ceiling": measured(
        "measure.py ceiling",
        "messages of one stream that one server hands out to 16 consumers (six rounds, the better three's median)",
        "/s",
        168_000,
        44_500,
        177_000,
    ),
    "wire_overhead": measured(TAIL, "bytes of an event between broker and gateway, beside its own", "B", 127, 126, 130),
    "packet_share": assumed("packets of 1,448 bytes", "the same with TCP, IP and Ethernet", "×", 1.05),
    "pull_again": read("src/journal/tail.rs", "messages after which a tail asks for more", "events", 1_000),
    "leader_checks": read("src/journal/tail.rs", "questions of a tail to the leader", "/s", 1),
    "consumer_memory": read("docs/adr/0001", "a consumer's memory at the broker", "KB", 43),
    # Live events to watchers.
    "delivery": measured(f"{SPREAD}: 1, 1000, 20", "one frame into one socket", "µs", 6.44, 6.24, 6.73),
    "waking_200": measured(
        f"{SPREAD}: 10, 100, 20",
        "an event that somebody watches, beside its deliveries and its tail, at 200 such events/s",
        "µs",
        31,
        31,
        131,
    ),
    "waking_2000": measured(f"{SPREAD}: 1000, 1, 2", "… at 2,000/s", "µs", 41, 18, 43),
    "waking_20000": measured(f"{SPREAD}: 1000, 1, 20", "… at 20,000/s", "µs", 0.1, 0.1, 10),
    "frame_overhead": measured("measure.py frame", "bytes of an event to a watcher, beside its own", "B", 55),
    "packet_bytes": assumed(
        "headers of TCP, IP and Ethernet, and half an acknowledgement", "the same in packets", "B", 100
    ),
    "connection_idle": measured("jobwire bench idle", "a connection on which nothing happens", "µs/s", 0.7),
    # Memory.
    "process": measured("measure.py window", "a gateway without events and clients", "MB", 12.4),
    "connection": measured("jobwire bench idle", "a connection", "KB", 3.8),
    "connection_tls": read("docs/configuration.md", "a connection with TLS", "KB", 15),
    "connection_kernel": measured("measure.py sockets", "the same in the kernel, idle", "B", 2_672, 2_506, 2_685),
    "window_factor": measured("measure.py window", "the window's budget for a byte of an event", "B", 1.6),
    "window_overhead": measured("measure.py window", "the window's budget for an event, beside its bytes", "B", 81),
    # Coming back.
    "return": measured(
        f"{STORM} --missed 1",
        "who comes back: connection, upgrade, subscribe, an event from the window",
        "µs",
        69.0,
        68.6,
        81.2,
    ),
    "return_tls": measured("measure.py tls", "the same with a handshake of TLS 1.3", "µs", 365, 341, 394),
    "accepted": measured(
        "jobwire bench idle", "connected and subscribed by a gateway of two cores, shared with the clients", "/s", 9_200
    ),
    "question": measured(
        "measure.py questions", "a question about a job that is in no memory, for the broker", "µs", 324, 313, 333
    ),
    "page": measured(PAGES, "10 events of one job, 80,000 events back, for the broker", "µs", 7_220, 6_880, 7_460),
    "page_event": measured(PAGES, "… and each event more, up to 10,000", "µs", 6.6, 6.5, 6.7),
    # What could be instead of one tail.
    "core_broker": measured(
        "measure.py core",
        "an event, for the broker and each plain subscriber to republished ones, at 2,000/s",
        "µs",
        8.3,
        7.9,
        11.2,
    ),
    "republish": measured(
        "measure.py core", "an event, for a broker that republishes it, at 2,000/s", "µs", 20, 10, 28
    ),
    "sweep": measured(
        "measure.py sweep", "a job's last event, asked for with 1,000 others, for the broker", "µs", 4.81, 4.76, 5.42
    ),
}


def value(name):
    """The figure alone."""
    return CONSTANTS[name].value

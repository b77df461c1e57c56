#!/usr/bin/env python3
"""Measures the constants of model.py that `jobwire bench` does not: run on Linux, with built programs.

    benches/scaling/measure.py tail --jobwire target/release/jobwire --nats-server nats-server

Prints one JSON object per part. Processor time is what the kernel counts for the processes, so that
a busy machine disturbs it less than a time of day; each part is repeated, and the median is given
with the smallest and the largest.
"""

import argparse
import json
import signal
import sys

import broker_parts
import gateway_parts
from stage import EVENT_BYTES

PARTS = {
    "tls": gateway_parts.tls,
    "verify": gateway_parts.verify,
    "questions": gateway_parts.questions,
    "ceiling": broker_parts.ceiling,
    "sockets": gateway_parts.sockets,
    "frame": gateway_parts.frame,
    "core": broker_parts.core,
    "sweep": broker_parts.sweep,
    "placement": broker_parts.placement,
    "tail": broker_parts.tail,
    "window": gateway_parts.window,
    "pages": gateway_parts.pages,
    "deliveries": gateway_parts.deliveries,
    "returns": gateway_parts.returns,
}


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--jobwire", required=True, help="a release build of the gateway")
    parser.add_argument("--nats-server", required=True, help="a nats-server of 2.11 or later")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="that are measured in each round")
    parser.add_argument("--rates", type=int, nargs="+", default=[200, 2_000, 10_000], help="events a second (tail)")
    parser.add_argument(
        "--tick",
        type=float,
        default=0.001,
        help="seconds whose events are published together: wakings cost more than events",
    )
    parser.add_argument("--gateways", type=int, nargs="+", default=[0, 1, 2, 4], help="how many (tail)")
    parser.add_argument("--servers", type=int, default=1, help="brokers, and replicas of the stream (tail)")
    parser.add_argument("--stored", type=int, default=100_000, help="events before those that are read (pages)")
    parser.add_argument("--size", type=int, default=EVENT_BYTES, help="bytes of an event (ceiling)")
    parser.add_argument("--sizes", type=int, default=4, help="of catch-ups: 10, 100, 1,000 and 10,000 events (pages)")
    options = parser.parse_args()
    options.executables = {"jobwire": options.jobwire, "nats": options.nats_server}
    return options


if __name__ == "__main__":
    # So that who is told to stop ends what it has started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    chosen = arguments()
    for figures in PARTS[chosen.part](chosen):
        print(json.dumps(figures), flush=True)

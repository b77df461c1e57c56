#!/usr/bin/env python3
"""Compares what two WebSockets tell of the same job: that of the old service and that of jobwire.

    python compare.py ws://old/ws/optimization ws://new/ws/optimization \\
        --send '{"type":"subscribe","jobId":"build-7","afterEventId":0}' --without id,timestamp

Reads both until they are closed or silent for --silence seconds, leaves out heartbeats, pongs and the fields
that are named, and prints what differs. The exit code is 0 if both told the same, and 1 if not. Give it a job
that has ended, or begin before the job does. Needs the package websockets.
"""

import argparse
import asyncio
import difflib
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--send", action="append", default=[], help="a message for both; can be given again")
    parser.add_argument("--without", default="", help="fields to leave out at any depth, with commas")
    parser.add_argument("--token", help="offered as the second of two subprotocols, after Bearer")
    parser.add_argument("--silence", type=float, default=5, help="seconds (default: 5)")
    return parser.parse_args()


async def told(address, given):
    """Every message, then how it ended; events that come in batches as if they came alone."""
    lines = []
    protocols = ["Bearer", given.token] if given.token else None
    async with connect(address, subprotocols=protocols, max_size=None) as socket:
        for message in given.send:
            await socket.send(message)
        try:
            while True:
                text = await asyncio.wait_for(socket.recv(), given.silence)
                lines += map(json.dumps, plain(json.loads(text), set(given.without.split(","))))
        except ConnectionClosed as closed:
            lines.append(f"closed with {closed.rcvd.code if closed.rcvd else 'no code'}")
        except TimeoutError:
            lines.append("silent")
    return lines


def plain(message, without):
    """The parts of a message that are compared."""
    if message.get("heartbeat") or message.get("type") == "pong":
        return
    if message.get("type") in ("replay", "event"):
        for event in message.get("data") or [message.get("event")]:
            yield stripped(event, without)
    else:
        yield stripped(message, without)


def stripped(value, without):
    """A value without the fields that are left out, fields in order."""
    if isinstance(value, list):
        return [stripped(item, without) for item in value]
    if isinstance(value, dict):
        return {name: stripped(value[name], without) for name in sorted(value) if name not in without}
    return value


async def main():
    given = arguments()
    old, new = await asyncio.gather(told(given.old, given), told(given.new, given))
    differences = list(difflib.unified_diff(old, new, given.old, given.new, lineterm="", n=1))
    print("\n".join(differences) if differences else f"both told the same: {len(old) - 1} messages, then {old[-1]}")
    sys.exit(1 if differences else 0)


asyncio.run(main())

"""What a client was told to do, and what it tells of it: one JSON object a line."""

import asyncio
import json
import sys

from websockets.exceptions import WebSocketException

from contract import Violation


def report(**fact):
    print(json.dumps(fact), flush=True)


def run(client):
    """Runs a client with the options of the command line, and tells how it went."""
    problem = None
    try:
        asyncio.run(client(**json.loads(sys.argv[1])))
    except (Violation, OSError, WebSocketException) as error:
        problem = str(error)
    report(verdict="ok" if problem is None else "failed", problem=problem)
    sys.exit(0 if problem is None else 1)

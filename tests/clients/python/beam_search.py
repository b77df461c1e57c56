"""Follows a beam search that was just started, and leaves at its result or at any error."""

import json

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from contract import BeamSearchContract, Violation
from report import report, run


async def watch(address, job):
    contract = BeamSearchContract(job)
    async with connect(f"ws://{address}/") as socket:
        report(open=True)
        await socket.send(json.dumps({"type": "subscribe", "jobId": job}))
        try:
            while True:
                text = await socket.recv()
                report(text=text if isinstance(text, str) else None)
                if contract.receive(text)["type"] in ("complete", "error"):
                    return
        except ConnectionClosed as closed:
            raise Violation(f"closed before the end: {closed}") from closed


run(watch)

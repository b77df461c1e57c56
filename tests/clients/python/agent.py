"""Follows an agent's task; a message that cannot be decoded is the last that it looks at."""

from websockets.asyncio.client import connect

from contract import AgentContract
from report import report, run


async def watch(address, job):
    contract = AgentContract()
    async with connect(f"ws://{address}/ws/agent-progress/{job}") as socket:
        report(open=True)
        async for text in socket:
            report(text=text if isinstance(text, str) else None)
            contract.receive(text)
        report(closed=socket.close_code)
        contract.closed(socket.close_code)


run(watch)

"""Follows a training run to its end; the token is the second of two subprotocols."""

from websockets.asyncio.client import connect

from contract import TrainingContract
from report import report, run


async def watch(address, job, token, path="ws"):
    contract = TrainingContract(job)
    url = f"ws://{address}/api/v1/training-jobs/{job}/{path}"
    async with connect(url, subprotocols=["Bearer", token]) as socket:
        report(open=True, selected=socket.subprotocol)
        async for text in socket:
            report(text=text if isinstance(text, str) else None)
            message = contract.receive(text)
            percent = round(100 * message["progress"])
            epochs = f"epoch {message['current_epoch']} of {message['total_epochs']}"
            report(shown=f"{percent} %, {epochs}")
        report(closed=socket.close_code)
        contract.closed(socket.close_code)


run(watch)

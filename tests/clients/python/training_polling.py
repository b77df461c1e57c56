"""Polls a training run until it has ended, where no WebSocket gets through."""

import asyncio
from urllib.request import urlopen

from contract import TrainingResourceContract, claim
from report import report, run


def read(url):
    # Any other status than 2xx is an error, which is an OSError.
    with urlopen(url, timeout=30) as answer:
        claim(answer.status == 200, "another status than 200", answer.status)
        return answer.read().decode()


async def watch(address, job, pollEvery=2_000):
    contract = TrainingResourceContract(job)
    while not contract.is_final:
        text = await asyncio.to_thread(read, f"http://{address}/api/v1/training-jobs/{job}")
        report(text=text)
        contract.receive(text)
        await asyncio.sleep(0 if contract.is_final else pollEvery / 1000)


run(watch)

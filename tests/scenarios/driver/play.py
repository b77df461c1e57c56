"""Plays one scenario to one client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driver.proxy import Proxy
from driver.record import Record, Stored
from driver.runners import Runner
from driver.scenario import Scenario
from driver.servers import SECRET, Failed, Gateway, NatsServer, token

KIND, JOB, OTHER_JOB = "optimization", "watched", "other"
# An event may have 512 KiB.
_LONGEST_LINE = 4 * 1024 * 1024
_GLANCE = 0.01


class Play:
    """One play, with servers of its own."""

    def __init__(self, scenario: Scenario, runner: Runner, transport: str) -> None:
        self._scenario = scenario
        self._runner = runner
        self._transport = transport
        self._record = Record()
        self._proxy = Proxy(scenario.faults, scenario.small_buffers)
        self._gateways: list[Gateway] = []
        self._point = 0
        self._states_seen = 0
        self._expirations: list[float] = []
        self._secret = SECRET
        self._doing = "start the servers"
        self._process: asyncio.subprocess.Process | None = None
        self._listening: list[asyncio.Future[Any]] = []

    async def play(self, patience: float) -> Record:
        """Play it, for a bounded time."""
        with tempfile.TemporaryDirectory(prefix="jobwire-scenario-") as folder:
            self._folder = Path(folder)
            self._nats = NatsServer(self._folder)
            try:
                await asyncio.wait_for(self._played(), patience)
            except asyncio.TimeoutError:
                self._record.broken.append(f"not within {patience:.0f} s: {self._doing}")
            except Exception as failure:
                self._record.broken.append(f"{self._doing}: {failure!r}")
            finally:
                await self._stop()
        self._record.exchanges, self._record.carriers = self._proxy.exchanges, self._proxy.carriers
        self._record.broken += [f"the proxy: {error}" for error in self._proxy.errors]
        return self._record

    async def _played(self) -> None:
        await self._start()
        for step in self._scenario.steps:
            self._doing = f"step {step}"
            await self._step(step)
        self._doing = "wait for the runner's end"
        assert self._process is not None
        await asyncio.gather(*self._listening)
        self._record.exit_code = await self._process.wait()
        self._record.ended = time.monotonic()

    async def _start(self) -> None:
        await self._nats.start()
        self._record.epochs.append(await self._nats.epoch())
        for _ in range(self._scenario.gateways):
            self._gateways.append(Gateway(self._nats.url, self._scenario.options))
            await self._gateways[-1].start()
        self._proxy.upstream = lambda: self._gateways[self._point].port
        self._proxy.on_end = self._ends
        self._url = await self._proxy.start()

    async def _stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        for listening in self._listening:
            listening.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        await self._proxy.stop()
        for gateway in self._gateways:
            await gateway.kill()
        await self._nats.stop()

    async def _step(self, step: dict[str, Any]) -> None:
        match step:
            case {"publish": count, **more}:
                await self._publish(count, **more)
            case {"malformed": _}:
                await self._nats.publish_text(f"jobs.{KIND}.{JOB}.progress", "this is no JSON")
            case {"watch": _}:
                await self._watch()
            case {"gateway": action, **more}:
                await self._gateway(action, self._gateways[more.get("number", 1) - 1])
            case {"point": number}:
                self._point = number - 1
            case {"proxy": what}:
                self._proxy.act(what)
            case {"insert": text}:
                self._proxy.insert(text, "")
            case {"insert_raw": raw}:
                self._proxy.insert("", raw)
            case {"lose": number}:
                await self._nats.lose(self._record.stored[number - 1].id)
            case {"recreate": _}:
                await self._nats.recreate()
                self._record.epochs.append(await self._nats.epoch())
            case {"token": seconds}:
                self._write_token(seconds)
            case {"secret": secret}:
                self._secret = secret
            case {"wait": seconds}:
                await asyncio.sleep(seconds)
            case {"metric": sample, "least": least}:
                gateway = self._gateways[self._point]
                while await gateway.metric(sample) < least:
                    await asyncio.sleep(0.1)
            case _:
                reached = self._condition(step)
                while not reached():
                    await asyncio.sleep(_GLANCE)

    def _condition(self, step: dict[str, Any]) -> Callable[[], bool]:
        """What a step waits for. Ends also where it cannot come any more: the verdict tells."""
        record, carriers = self._record, self._proxy.carriers

        def is_over() -> bool:
            return self._process is not None and self._process.returncode is not None

        match step:
            case {"told": count}:
                return lambda: len(record.told("event")) >= count or is_over()
            case {"state": name}:
                return lambda: self._finds_state(name) or is_over()
            case {"asked": count}:
                return lambda: len(self._proxy.exchanges) >= count or is_over()
            case {"refused": count}:
                return lambda: self._refusals() >= count or is_over()
            case {"connections": count}:
                return lambda: len(carriers) >= count or is_over()
            case {"said": kind, **more}:
                times = more.get("times", 1)
                return lambda: (
                    times
                    <= sum(message.get("type") == kind for one in carriers for message in one.said)
                )
            case {"heard": kind, **more}:
                times = more.get("times", 1)
                return lambda: times <= sum(one.heard.count(kind) for one in carriers)
            case {"passed": number}:
                wanted = record.stored[number - 1].id
                return lambda: any(wanted in one.passed for one in carriers)
            case {"expired": _}:
                return lambda: time.time() > self._expirations[0] + 0.5
        raise Failed("nobody knows this step")

    def _refusals(self) -> int:
        """Errors and statuses that the client was answered with."""
        statuses = sum(one.status >= 400 for one in self._proxy.exchanges)
        return statuses + sum(one.heard.count("error") for one in self._proxy.carriers)

    def _finds_state(self, name: str) -> bool:
        """The next change to this state, after the one that was waited for before."""
        states = self._record.told("state")
        for index in range(self._states_seen, len(states)):
            if states[index] == name:
                self._states_seen = index + 1
                return True
        return False

    async def _publish(
        self, count: int, type: str = "progress", size: int = 0, data: dict[str, Any] | None = None
    ) -> None:
        """Store events of the job, and some of another between them: ids have gaps."""
        for _ in range(count):
            number = len(self._record.stored) + 1
            body: dict[str, Any] = {"data": {"number": number, **(data or {})}}
            if number % 2:
                body |= {"iteration": number, "stage": "drückt: \u2028 🚀"}
            if size:
                body["data"]["filling"] = "x" * size
            id = await self._nats.publish(f"jobs.{KIND}.{JOB}.{type}", body)
            self._record.stored.append(Stored(id, type, body))
            if number % 3 == 0:
                await self._nats.publish(f"jobs.{KIND}.{OTHER_JOB}.progress", {"data": {}})

    async def _gateway(self, action: str, gateway: Gateway) -> None:
        match action:
            case "kill":
                await gateway.kill()
            case "start":
                await gateway.start(self._secret)
            case "drain":
                gateway.drain()
            case _:
                raise Failed(f"gateway {action!r}: kill, start or drain is right")

    def _write_token(self, seconds: float) -> None:
        path = self._folder / "token"
        # Nobody may read half a token.
        path.with_suffix(".new").write_text(token(seconds, self._secret))
        os.replace(path.with_suffix(".new"), path)
        self._expirations.append(time.time() + seconds)

    def _ends(self, code: int) -> None:
        for fault in self._scenario.faults:
            if fault.do == "token" and code in (fault.status, fault.closing):
                self._write_token(fault.seconds)

    async def _watch(self) -> None:
        argument = json.dumps(await self._argument())
        self._process = await asyncio.create_subprocess_exec(
            *self._runner.command,
            argument,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            env={**os.environ, **self._runner.environment},
        )
        self._record.began = time.monotonic()
        assert self._process.stdout is not None and self._process.stderr is not None
        self._listening = [
            asyncio.ensure_future(self._listen(self._process.stdout)),
            asyncio.ensure_future(self._listen_to_complaints(self._process.stderr)),
        ]

    async def _argument(self) -> dict[str, Any]:
        watch = self._scenario.watch
        after = await self._id(watch.get("after", 0))
        self._record.after = after or 0
        argument = {
            "url": self._url,
            "kind": KIND,
            "job": JOB,
            "after": after,
            "epoch": {"current": self._record.epochs[-1], "other": "abcdef"}.get(
                watch.get("epoch", "")
            ),
            "onTruncated": watch.get("onTruncated", "earliest"),
            "token": {"file": str(self._folder / "token")} if "token" in watch else None,
            "transport": self._transport,
            "idleSeconds": watch.get("idleSeconds", 0),
            "until": watch.get("until", "end"),
        }
        if "waitForJob" in watch:
            argument["waitForJob"] = watch["waitForJob"]
        return argument

    async def _id(self, place: Any) -> int | None:
        match place:
            case "live":
                return None
            case {"event": number}:
                return self._record.stored[int(number) - 1].id
            case {"beyond": distance}:
                return await self._nats.last() + int(distance)
            case int():
                return int(place)
        raise Failed(f'after {place!r}: a number, "live", {{event}} or {{beyond}} is right')

    async def _listen(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            try:
                self._record.lines.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                self._record.broken.append(f"the runner's line {line[:200]!r} is no JSON object")

    async def _listen_to_complaints(self, output: asyncio.StreamReader) -> None:
        with contextlib.suppress(ValueError):
            self._record.complaint = (await output.read()).decode(errors="replace")

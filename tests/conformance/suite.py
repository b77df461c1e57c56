"""Runs the cases of the Autobahn test-suite against an echo, and judges what came out.

The suite is Python 2 and wants Twisted. Its cases are taken as they are and translated; what
they run on is written anew here, over the asyncio protocol of a current Autobahn. In the cases
bytes are strings, one character for each byte: they are turned into bytes, and back, here.
"""

import argparse
import asyncio
import binascii
import importlib
import importlib.util
import pathlib
import re
import shutil
import sys
import tempfile
import time
from collections import Counter

import autobahn.websocket.protocol as protocol
import autobahn.websocket.utf8validator as utf8validator
from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from fissix.refactor import RefactoringTool, get_fixers_from_package

# All cases but those of compression (12, 13), which the gateway does not offer.
SECTIONS = {1, 2, 3, 4, 5, 6, 7, 9, 10}
CASES = 301
# They want invalid UTF-8 to be noticed inside a frame; here it is noticed at the frame's end.
MAY_BE_NON_STRICT = {"6.4.3", "6.4.4"}
# Most cases wait for seconds: many of them at a time. Those of section 9 measure load.
AT_ONCE = 24
LONGEST_CASE = 120


def octets(value):
    """Any text of a case as bytes, in lists and tuples too."""
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, (list, tuple)):
        return [octets(part) for part in value]
    return value


class CaseValidator(utf8validator.Utf8Validator):
    def validate(self, text):
        return super().validate(octets(text))


def let_modules_take_strings():
    to_hexadecimal = binascii.b2a_hex
    binascii.b2a_hex = lambda text: to_hexadecimal(octets(text)).decode()
    utf8validator.Utf8Validator = CaseValidator


def translate_cases(directory):
    """Writes the suite's cases as Python 3 into the package `cases` in a directory."""
    suite = importlib.util.find_spec("autobahntestsuite").submodule_search_locations[0]
    package = pathlib.Path(directory, "cases")
    package.mkdir()
    package.joinpath("__init__.py").touch()
    sources = [path for path in sorted(pathlib.Path(suite, "case").glob("case*.py")) if is_wanted(path)]
    for source in sources:
        shutil.copy(source, package)
    tool = RefactoringTool(get_fixers_from_package("fissix.fixes"))
    for source in sources:
        # One character for each byte, as strings were.
        text = source.read_text("latin-1")
        # What no translator sees: a division of whole numbers, and an order of bases that only
        # classes of the old style may have.
        text = text.replace(" / self.p.autoFragmentSize", " // self.p.autoFragmentSize")
        text = re.sub(r"\(object, Case, ?\)", "(Case,)", text)
        target = package / source.name
        target.write_text(str(tool.refactor_string(text + "\n", str(target))), "utf-8")
    return [f"cases.{source.stem}" for source in sources]


def is_wanted(path):
    section = re.match(r"case(\d+)", path.stem)
    # 9.9.1 is no part of the suite: it is commented out there.
    return section is None or (int(section[1]) in SECTIONS and path.stem != "case9_9_1")


def load_cases():
    """The case classes by id, in order."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        modules = translate_cases(directory)
        sys.path.insert(0, directory)
        for module in map(importlib.import_module, modules):
            for value in vars(module).values():
                for case in value if isinstance(value, list) else [value]:
                    if isinstance(case, type) and re.fullmatch(r"Case\d+(_\d+)+", case.__name__):
                        found[tuple(map(int, case.__name__[4:].split("_")))] = case
    base = importlib.import_module("cases.case").Case
    base.compare = lambda self, one, other: octets(one) == octets(other)
    return {".".join(map(str, key)): found[key] for key in sorted(found)}


class Conversation(WebSocketClientProtocol):
    """One case's connection; what the cases call `self.p`."""

    def __init__(self, case, done):
        super().__init__()
        self.connectionWasOpen = False
        self.createWirelog = False
        self.txFrameStats = Counter()
        self.done = done
        self.case = case(self)

    def connection_lost(self, error):
        super().connection_lost(error)
        self.case.onConnectionLost(self.failedByMe)
        if not self.done.done():
            self.done.set_result(self.case)

    def onOpen(self):
        self.connectionWasOpen = True
        self.case.onOpen()

    def onMessage(self, payload, isBinary):
        self.case.onMessage(payload, isBinary)

    def onPong(self, payload):
        self.case.onPong(payload)

    def onClose(self, wasClean, code, reason):
        self.case.onClose(wasClean, code, reason)

    def logTxFrame(self, header, payload, repeat, chop, sync):
        self.txFrameStats[header.opcode] += 1

    def logRxFrame(self, header, payload):
        pass

    def enableWirelog(self, enable):
        pass

    def sendFrame(self, opcode, payload=b"", **options):
        super().sendFrame(opcode, payload=octets(payload), **options)

    def sendMessage(self, payload, isBinary=False, **options):
        super().sendMessage(octets(payload), isBinary, **options)

    def sendMessageFrameData(self, payload, **options):
        return super().sendMessageFrameData(octets(payload), **options)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        super().sendCloseFrame(code, octets(reasonUtf8), isReply)

    def _later(self, delay, act):
        def act_if_open():
            if self.state != protocol.WebSocketProtocol.STATE_CLOSED:
                act()

        asyncio.get_running_loop().call_later(delay, act_if_open)

    def continueLater(self, delay, act, tag=None):
        self._later(delay, act)

    def killAfter(self, delay):
        self._later(delay, self._fail_connection)

    def closeAfter(self, delay):
        self._later(delay, self.sendClose)


async def run_case(case, url, room):
    async with room:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        factory = WebSocketClientFactory(url, loop=loop)
        factory.setProtocolOptions(failByDrop=False)
        factory.logFrames = True

        def conversation():
            started = Conversation(case, done)
            started.factory = factory
            return started

        factory.protocol = conversation
        await loop.create_connection(factory, factory.host, factory.port)
        return await asyncio.wait_for(done, LONGEST_CASE)


async def run_all(cases, url):
    heavy = [case for case in cases if case.startswith("9.")]
    light = [case for case in cases if not case.startswith("9.")]
    room = asyncio.Semaphore(AT_ONCE)
    outcomes = await asyncio.gather(*(run_case(cases[case], url, room) for case in light))
    outcomes = dict(zip(light, outcomes))
    for case in heavy:
        outcomes[case] = await run_case(cases[case], url, room)
    return {case: outcomes[case] for case in cases}


def judge(case, outcome):
    """What is wrong with an outcome, if anything."""
    allowed = {"OK", "INFORMATIONAL"} | ({"NON-STRICT"} if case in MAY_BE_NON_STRICT else set())
    if outcome.behavior not in allowed:
        return f"{outcome.behavior}: {outcome.result}"
    if outcome.behaviorClose not in {"OK", "INFORMATIONAL"}:
        return f"close {outcome.behaviorClose}: {outcome.resultClose}"
    return None


def tell(outcomes):
    kinds = ["OK", "INFORMATIONAL", "NON-STRICT"]
    print(f"\n| section | cases | {' | '.join(kinds)} | failed |\n|{'---|' * 6}")
    sections = sorted({int(case.split(".")[0]) for case in outcomes})
    for section in [*sections, "all"]:
        of_section = [
            (case, outcome)
            for case, outcome in outcomes.items()
            if section in ("all", int(case.split(".")[0]))
        ]
        counts = Counter(outcome.behavior for _, outcome in of_section)
        failed = sum(1 for case, outcome in of_section if judge(case, outcome))
        numbers = [len(of_section), *(counts[kind] for kind in kinds), failed]
        print(f"| {section} | {' | '.join(map(str, numbers))} |")
    for case, outcome in outcomes.items():
        if outcome.behavior in ("NON-STRICT", "INFORMATIONAL"):
            print(f"{case}: {outcome.behavior}")


def main():
    options = argparse.ArgumentParser(description="Run the Autobahn test-suite against an echo.")
    options.add_argument("url", help="the echo, such as ws://127.0.0.1:8080/__echo")
    options.add_argument("--case", action="append", help="only this case; several are possible")
    options = options.parse_args()
    let_modules_take_strings()
    cases = load_cases()
    if len(cases) != CASES:
        sys.exit(f"the suite has {len(cases)} cases in these sections, not {CASES}")
    if options.case:
        cases = {case: cases[case] for case in options.case}
    started = time.monotonic()
    outcomes = asyncio.run(run_all(cases, options.url))
    tell(outcomes)
    problems = {case: judge(case, outcome) for case, outcome in outcomes.items()}
    problems = {case: problem for case, problem in problems.items() if problem}
    for case, problem in problems.items():
        print(f"{case}: {problem}", file=sys.stderr)
    print(f"{len(outcomes)} cases in {time.monotonic() - started:.0f} s, {len(problems)} failed")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

"""Watches one job with `jobwire tail`, and prints what that tells, one JSON object a line.

For tests that play the same scenario to every client. The argument is one JSON object: url, kind, job,
after, epoch, onTruncated, token (text, or {"file": path}), transport ("websocket" alone), idleSeconds (a
pause after each event), waitForJob, until ("end", "forever", {"id": n} or {"seconds": n}). `JOBWIRE_BIN`
is the program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

REFUSED = 5


def wrong(sentence: str) -> None:
    print(f"cli_runner.py: {sentence}", file=sys.stderr)
    raise SystemExit(2)


def scenario() -> dict[str, Any]:
    """Return the argument, checked."""
    try:
        (text,) = sys.argv[1:]
        given = json.loads(text)
    except ValueError:
        wrong("one argument is wanted, a JSON object")
    names = ("url", "kind", "job")
    if not isinstance(given, dict) or not all(isinstance(given.get(name), str) for name in names):
        wrong("url, kind and job have to be texts")
    if given.get("transport", "websocket") != "websocket":
        wrong('transport has to be "websocket"')
    until = given.get("until")
    is_object = isinstance(until, dict) and len(until) == 1 and {"id", "seconds"} & until.keys()
    if until not in ("end", "forever") and not is_object:
        wrong('until has to be "end", "forever", {"id": n} or {"seconds": n}')
    return given


def command(given: dict[str, Any]) -> list[str]:
    """Return what a person would type."""
    after = given.get("after")
    words = [os.environ["JOBWIRE_BIN"], "tail", given["job"], "--kind", given["kind"]]
    words += ["--url", given["url"]]
    words += ["--output", "json", "--states", "--after", "now" if after is None else str(after)]
    # The test says when it is over.
    words += ["--give-up", "1h"]
    if given.get("epoch") is not None:
        words += ["--epoch", given["epoch"]]
    if given.get("onTruncated") == "fail":
        words += ["--on-gap", "fail"]
    if isinstance(given.get("token"), dict):
        words += ["--token-file", given["token"]["file"]]
    if given.get("waitForJob"):
        words.append("--wait")
    if given["until"] == "forever":
        words.append("--keep-watching")
    return words


def environment(given: dict[str, Any]) -> dict[str, str]:
    """Return the environment, with the token: others can read command lines."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("JOBWIRE_")}
    return rest | ({"JOBWIRE_TOKEN": given["token"]} if isinstance(given.get("token"), str) else {})


def main() -> int:
    given = scenario()
    until, pause = given["until"], given.get("idleSeconds") or 0
    wanted = until if isinstance(until, dict) else {}
    tail = subprocess.Popen(command(given), env=environment(given), stdout=subprocess.PIPE, text=True)
    assert tail.stdout is not None
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: tail.send_signal(signal.SIGINT))
    if "seconds" in wanted:
        timer = threading.Timer(wanted["seconds"], tail.send_signal, [signal.SIGINT])
        timer.daemon = True
        timer.start()
    last, is_over = 0, False
    for text in tail.stdout:
        line = json.loads(text)
        event = line.get("event")
        if is_over and "done" not in line:
            continue  # It had received more than was wanted.
        if is_over:
            line["done"] |= {"lastEventId": last, "outcome": None}
        print(json.dumps(line), flush=True)
        if event is None:
            continue
        last = event["id"]
        if "id" in wanted and last >= wanted["id"]:
            is_over = True
            print(json.dumps({"state": "closed", "reason": "until"}), flush=True)
            tail.send_signal(signal.SIGINT)
        elif pause:
            time.sleep(pause)
    code = tail.wait()
    # 4: a gap ends it only where that was asked for.
    is_refused = code == REFUSED or (code == 4 and given.get("onTruncated") == "fail")
    return 1 if is_refused else 2 if code == 2 else 0


if __name__ == "__main__":
    raise SystemExit(main())

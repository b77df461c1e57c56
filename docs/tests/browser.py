"""A real Chromium, told what to do over its DevTools protocol."""

import json
import os
import re
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from websockets.sync.client import connect

# Seconds; a busy machine takes its time.
PATIENCE = 90
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
             "--disable-component-update", "--disable-dev-shm-usage", "--remote-debugging-port=0"]  # fmt: skip
# Also what stands in open shadow trees.
TEXT = """(function told(node) {
  const below = [...(node.shadowRoot ?? node).childNodes].filter((child) => !/^(STYLE|SCRIPT)$/.test(child.nodeName));
  return node.nodeType === Node.TEXT_NODE ? node.data : below.map(told).join(' ');
})(document.body)"""


class Browser:
    def __init__(self, folder: Path):
        folder.mkdir()
        self._log = folder / "log"
        with self._log.open("w") as log:
            command = [os.environ["CHROMIUM"], *ARGUMENTS, f"--user-data-dir={folder}", "about:blank"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._asked = 0
        self._open = ExitStack()

    def __enter__(self):
        try:
            port = self._eventually("Chromium listens", self._port)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
                page = next(target for target in json.load(answer) if target["type"] == "page")
            self._socket = self._open.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None))
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_):
        self._open.close()
        self._process.kill()
        self._process.wait()

    def _port(self):
        found = re.search(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", self._log.read_text())
        return found and found[1]

    def _ask(self, method, **parameters):
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(PATIENCE))).get("id") != self._asked:
            pass
        return answer["result"]

    def open(self, url):
        assert "errorText" not in (told := self._ask("Page.navigate", url=url)), told

    def text(self):
        result = self._ask("Runtime.evaluate", expression=TEXT)["result"]
        return result.get("value", "")

    def shows(self, words):
        self._eventually(f"the page shows {words}", lambda: words in self.text())

    def _eventually(self, what, look):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if answer := look():
                return answer
            time.sleep(0.05)
        shown = self.text() if hasattr(self, "_socket") else self._log.read_text()
        raise AssertionError(f"{what}: not after {PATIENCE} s, but\n{shown}")

"""A runner with a defect: `broken_runner.py DEFECT COMMAND…` tells wrongly what the command tells.

The scenarios have to find each of them. The defects are in driver/defects.py.
"""

from __future__ import annotations

import json
import subprocess
import sys

from driver.defects import DEFECTS


def main(defect: str, *command: str) -> int:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        for line in DEFECTS[defect](json.loads(text) for text in runner.stdout):
            print(json.dumps(line), flush=True)
    return runner.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

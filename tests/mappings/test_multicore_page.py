"""The example of docs/multicore.md, run as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_runs_and_more_cores_are_faster():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "multicore.md").read_text(encoding="utf-8"), re.DOTALL)
    code = code.replace("resnet50", "mobilenet-v2")  # the same in a fraction of the time
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    cycles = [int(line.split()[2]) for line in run.stdout.splitlines()]
    assert len(cycles) == 3
    assert cycles[0] > cycles[1] > cycles[2]

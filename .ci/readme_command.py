"""Print one of the README's commands, so that CI runs what the README says and nothing else.

A command is the code block that follows a line ``<!-- command: NAME -->``.
"""

import re
import sys
from pathlib import Path


def command(name: str, text: str) -> str:
    """The code block after the marker of ``name``."""
    match = re.search(rf"<!-- command: {re.escape(name)} -->\s*```\w*\n(.*?)```", text, re.DOTALL)
    if match is None:
        sys.exit(f"README.md has no block marked <!-- command: {name} -->")
    return match[1]


if __name__ == "__main__":
    sys.stdout.write(command(sys.argv[1], Path("README.md").read_text(encoding="utf-8")))

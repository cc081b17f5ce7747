"""``cyclewright`` and ``python -m cyclewright``: imports the command line only when called."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on ``sys.argv`` and leave the process with its exit code."""
    try:
        from cyclewright.cli import commands

        commands.main(prog_name="cyclewright")
    except KeyboardInterrupt:  # during imports, where click is not yet in charge
        sys.exit(130)


if __name__ == "__main__":
    main()

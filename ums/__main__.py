"""Start the command line: ``ums`` or ``python -m ums``."""

from __future__ import annotations

import gc

from ums.cli import root


def main() -> None:
    """Run the command line."""
    # Importing makes many objects and drops few. Looking for garbage among them, meanwhile and once more when the
    # process ends, takes a fifth of what a command computes.
    gc.set_threshold(100_000)
    try:
        root.main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()

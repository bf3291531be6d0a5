"""Start the command line: ``ums`` or ``python -m ums``."""

from __future__ import annotations

from ums.cli.root import main

if __name__ == "__main__":
    main()

"""An export of what is kept for auditors, as lines of JSON: one record each, oldest first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ums.adapters._new_file import new_file
from ums.domain import strict_json
from ums.domain.errors import InvalidInputError, NotFoundError, StorageError
from ums.domain.security_log import Entry

_MAX_LINE = 1 << 20


def write_export(path: Path, records: Iterable[dict[str, Any]]) -> int:
    """Write records to a new file that its owner alone reads, whole or not at all; return how many.

    Raises:
        ConflictError: there is a file already.
        StorageError: the disk refused.
        UmsError: whatever the records raise while they come.

    """
    count = 0
    with new_file(path, mode=0o600, hint="choose another name: nothing is overwritten") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            count += 1
    return count


def read_events(path: Path) -> Iterator[Entry]:
    """Yield the security events of an export, in the order in which they stand, one line in memory at a time.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: a line is none of an export.

    """
    try:
        # Bytes that are no text are not what was exported either: the hash will not fit.
        with path.open(encoding="utf-8", errors="replace") as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                entry = _entry(line, f"{path}, line {number}")
                if entry is not None:
                    yield entry
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(f"there is no file {path}", hint="ums audit export makes one") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def _entry(line: str, where: str) -> Entry | None:
    try:
        record = strict_json.loads(line.encode(), go=False)
        kind = record["type"]
        return Entry.from_dict(record) if kind == "securityEvent" else None
    except (ValueError, TypeError, KeyError, RecursionError, InvalidInputError) as error:
        raise InvalidInputError(f"{where}: this is no line of an export", hint="ums audit export makes one") from error

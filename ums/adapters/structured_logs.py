"""Logs as one JSON object a line, or for people at a terminal: the one door to ``structlog``.

The rest of the program logs through ``logging``, with what it has to say as ``extra``; this makes the lines.
"""

from __future__ import annotations

import json
import logging
import os
import select
from io import StringIO, UnsupportedOperation
from typing import Any, TextIO

import structlog

from ums.domain.text import MULTI_LINE, plain, plain_json

_NOISY = ("apscheduler", "git", "oras", "urllib3", "alembic")
"""They tell of every step that goes well."""
_SKIPPED = "apscheduler.scheduler"
"""It warns when a job is due while it runs; the jobs are such that this does no harm, and it is common."""
_HANDLER = "ums"
_PATIENCE_SECONDS = 1.0
"""How long a line waits for room in a pipe that is full; once lines are dropped, none waits."""


def start_logging(form: str, stream: TextIO) -> None:
    """Send all logs of the process to a stream; doing it again replaces what was.

    Args:
        form: ``json``, ``console``, or ``auto``: console if the stream is a terminal.
        stream: standard error.

    """
    console = form == "console" or (form == "auto" and stream.isatty())
    handler = _Dropping(stream)
    handler.name = _HANDLER
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _without_copies,
                structlog.processors.TimeStamper("iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_console(stream) if console else _json()),
            ],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.name == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(_SKIPPED).setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)


class _Dropping(logging.StreamHandler[TextIO]):
    """Writes to a stream, and drops lines while nobody reads it: else every thread that logs would wait."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._dropped = 0
        try:
            self._number = stream.fileno()
        except UnsupportedOperation:
            self._number = -1  # in memory, which takes all

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or count it as dropped."""
        if self._number < 0:
            super().emit(record)
            return
        try:
            line = f"{self.format(record)}{self.terminator}".encode(errors="replace")
        except Exception:  # noqa: BLE001 - as other handlers do
            self.handleError(record)
            return
        if not self._write(line):
            self._dropped += 1
        elif self._dropped:
            dropped, self._dropped = self._dropped, 0
            logging.getLogger(__name__).warning("%d log lines were dropped: nobody read them", dropped)

    def _write(self, content: bytes) -> bool:
        while content:
            poll = select.poll()
            poll.register(self._number, select.POLLOUT)
            ready = poll.poll(0 if self._dropped else _PATIENCE_SECONDS * 1000)
            if not ready or not ready[0][1] & select.POLLOUT:
                return False
            try:
                # A pipe that can be written to takes so much at once (POSIX, PIPE_BUF).
                written = os.write(self._number, content[: select.PIPE_BUF])
            except OSError:
                return False
            content = content[written:]
        return True


def _without_copies(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what other handlers leave in a record: the same words once more."""
    return {name: value for name, value in line.items() if name not in {"message", "asctime"}}


def _json() -> list[structlog.typing.Processor]:
    # A traceback is text without the values of variables: they may be secrets.
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("event"),
        structlog.processors.JSONRenderer(_plain_dumps, ensure_ascii=False),
    ]


def _plain_dumps(line: object, **options: Any) -> str:  # noqa: ANN401 - json's
    """Return JSON in which what is hidden is shown: an operator reads it at a terminal all the same."""
    return plain_json(json.dumps(line, **options))


def _plain_words(_logger: object, _method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Show what is hidden in words of others, before colours are added; a log of one line stays one."""
    return {name: plain(value) if isinstance(value, str) else value for name, value in line.items()}


def _plain_traceback(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    found = StringIO()
    structlog.dev.plain_traceback(found, error)
    stream.write(plain(found.getvalue(), keep=MULTI_LINE))


def _console(stream: TextIO) -> list[structlog.typing.Processor]:
    return [
        _plain_words,
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_plain_traceback, pad_event_to=0),
    ]

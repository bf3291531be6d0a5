"""Logs: one JSON object a line, or text for people."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator

import pytest

from ums.adapters import structured_logs
from ums.adapters.structured_logs import start_logging
from ums.domain.text import is_plain

SECRET = "hunter2"  # noqa: S105 - what must not be logged


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def fail() -> None:
    """Fail, with a secret at hand."""
    password = SECRET
    raise ValueError(f"{len(password)} characters are too few")


def test_a_line_is_an_object_with_what_was_said() -> None:
    """With the time in UTC, the level, the logger and everything extra."""
    stream = io.StringIO()
    start_logging("json", stream)
    logging.getLogger("ums.request").info("request", extra={"route": "/x\ny", "status": 200})
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("timestamp").endswith("Z")
    assert found == {"event": "request", "level": "info", "logger": "ums.request", "route": "/x\ny", "status": 200}


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_where_and_no_values(form: str) -> None:
    """What a variable held may be a secret."""
    stream = io.StringIO()
    start_logging(form, stream)
    try:
        fail()
    except ValueError:
        logging.getLogger("ums").exception("it failed")
    assert "in fail" in stream.getvalue()
    assert "7 characters" in stream.getvalue()
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", Terminal(), False),
        ("json", Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_a_terminal_is_for_people(form: str, stream: io.StringIO, is_json: bool) -> None:  # noqa: FBT001 - a table
    """Unless it is said otherwise."""
    start_logging(form, stream)
    logging.getLogger("ums").warning("careful", extra={"job": "reconcile"})
    assert stream.getvalue().startswith("{") is is_json
    assert "careful" in stream.getvalue()


def test_starting_twice_says_everything_once() -> None:
    """A reload is no echo."""
    first, second = io.StringIO(), io.StringIO()
    start_logging("json", first)
    start_logging("json", second)
    logging.getLogger("ums").info("hello")
    assert (first.getvalue(), second.getvalue().count("hello")) == ("", 1)


def test_libraries_that_chatter_are_heard_when_something_is_wrong() -> None:
    """And warnings of Python are lines like others."""
    stream = io.StringIO()
    start_logging("json", stream)
    logging.getLogger("apscheduler.executors.default").info("running a job")
    logging.getLogger("apscheduler.scheduler").warning("skipped: it runs already")
    logging.getLogger("apscheduler.executors.default").warning("missed a job")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events[0] == "missed a job"
    assert "DeprecationWarning: old" in events[1]


@pytest.mark.parametrize("form", ["json", "console"])
def test_words_of_others_hide_nothing(form: str) -> None:
    """A path or a message of somebody commands no terminal that shows the log, and adds no line to it."""
    stream = io.StringIO()
    start_logging(form, stream)
    hostile = "/x\x1b[2J\u202e\x9b\x7f\u2028y"
    try:
        int(hostile)
    except ValueError:
        logging.getLogger("ums.request").exception(hostile, extra={"route": hostile, "more": [hostile]})
    logging.getLogger("ums").warning("failed: %s", hostile)
    for line in stream.getvalue().split("\n"):
        assert is_plain(line), ascii(line)
    assert "\\u202e" in stream.getvalue()


def test_a_pipe_that_nobody_reads_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are dropped, and counted once there is room; the others come whole."""
    monkeypatch.setattr(structured_logs, "_PATIENCE_SECONDS", 0.05)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as source, os.fdopen(writing, "w") as stream:
        start_logging("json", stream)
        log = logging.getLogger("ums.test")

        def write() -> None:
            for _ in range(1000):
                log.warning("x" * 1000)

        done = threading.Thread(target=write, daemon=True)
        done.start()
        done.join(60)
        assert not done.is_alive()
        source.read(1 << 20)
        log.warning("again")
        rest = source.read(1 << 20).decode()
        assert "again" in rest
        log.warning("y" * 10_000)
        assert "y" * 10_000 in source.read(1 << 20).decode()
    assert "log lines were dropped" in rest

"""The process that serves."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config

from tests.data_folder import make_data
from ums.adapters.structured_logs import start_logging
from ums.wsgi import ServerLog


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(), logging.getLogger("gunicorn.error")]
    before = [(each, list(each.handlers), each.level, each.propagate) for each in loggers]
    yield
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)
    logging.captureWarnings(capture=False)


def test_a_service_holds_in_memory_what_it_needs(tmp_path: Path) -> None:
    """Neither what brings a database up to date, once it is, nor logins where there are none, nor keyless keys."""
    settings, _ = make_data(tmp_path)
    unwanted = {"alembic", "authlib", "joserfc", "sigstore"}
    code = "import pathlib, sys, ums.wsgi as w, ums.bootstrap as b, ums.config as c\n"
    code += f"settings = c.Settings(data=pathlib.Path({str(settings.data)!r}))\n"
    code += "b.prepare(settings); b.make_wsgi(settings, b.make_services(settings))\n"
    code += f"print({unwanted} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_gunicorn_speaks_as_the_others_do() -> None:
    """Its errors are lines like ours, once; it tells of no request, as that is done."""
    stream = io.StringIO()
    start_logging("json", stream)
    log = ServerLog(Config())
    log.error("Error while %s", "forking")
    assert not log.access_log_enabled
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert (found["event"], found["level"], found["logger"]) == ("Error while forking", "error", "gunicorn.error")


def test_a_client_that_falls_silent_is_no_error() -> None:
    """Anybody may cause it as often as they like; what is wrong here is told with its traceback."""
    stream = io.StringIO()
    start_logging("json", stream)
    log = ServerLog(Config())
    for error in (TimeoutError("the client fell silent"), OSError(9, "Bad file descriptor")):
        try:
            raise error
        except OSError:
            log.exception("Socket error processing request.")
    (line,) = stream.getvalue().splitlines()
    assert "Bad file descriptor" in json.loads(line)["exception"]

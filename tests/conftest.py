"""What every test runs under, and the PostgreSQL that a session shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from werkzeug.routing import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.postgres import Postgres

_SHARED = "UMS_TESTS_SHARED"
_OWNER = "UMS_TESTS_OWNER"


def _once(compile_builder: Callable[..., Any]) -> Callable[..., Any]:
    """Return a compiler that does it once for each rule."""
    made: dict[tuple[object, ...], Any] = {}

    def compiled(rule: Rule, append_unknown: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as Werkzeug has it
        key = (rule.rule, rule.subdomain, rule.host, str(rule.defaults), append_unknown)
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    return compiled


# A busy machine is slow, not wrong.
settings.register_profile("ums", deadline=None)
settings.load_profile("ums")


# Werkzeug compiles what would build each URL of an application, which nobody here asks for, and a thousand tests make
# the same application: that is half of what it costs them.
Rule._compile_builder = _once(Rule._compile_builder)  # type: ignore[method-assign]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder by which the workers of this session find what they share."""
    if not _is_worker(config):
        os.environ[_SHARED] = tempfile.mkdtemp(prefix="ums-tests-")
        os.environ[_OWNER] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what is shared."""
    if not _is_worker(config):
        folder = Path(os.environ.pop(_SHARED))
        if (folder / "postgres.pid").exists():
            from tests.postgres import stop_shared

            stop_shared(folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """Give a private PostgreSQL."""
    from tests.postgres import binaries, shared

    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return shared(Path(os.environ[_SHARED]), int(os.environ[_OWNER]))

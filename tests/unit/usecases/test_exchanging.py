"""The exchange with a Git host: what is told of it, and to whom."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tests.unit.usecases.stage import Stage
from ums.domain.errors import ConflictError, UmsError, UnavailableError
from ums.domain.git_hosts import Exchange
from ums.usecases.exchange import ExchangeWithHost

LEFT = Exchange(left="e" * 40, reasons=("only UMS writes freezes.yaml",))


class Host:
    """A host that goes as it is told."""

    url = "https://git.example.com/repo.git"

    def __init__(self, *steps: Exchange | UmsError) -> None:
        self._steps = iter(steps)

    def exchange(self, *, at: datetime) -> Exchange:  # noqa: ARG002 - whenever
        """Do the next."""
        step = next(self._steps)
        if isinstance(step, UmsError):
            raise step
        return step


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Give a service."""
    return Stage(tmp_path)


def make(stage: Stage, *steps: Exchange | UmsError) -> ExchangeWithHost:
    """Return the use case with a host."""
    return ExchangeWithHost(Host(*steps), stage.clock, stage.services.security)


def told(stage: Stage) -> list[str]:
    """Return what the security log says of it."""
    return [each.what for each in stage.services.security.log.read(after=0, limit=99) if "git-host" in each.kind]


def test_without_a_host_nothing_happens(stage: Stage) -> None:
    """Most services have none."""
    exchange = ExchangeWithHost(None, stage.clock, stage.services.security)
    assert not exchange()
    assert exchange.problem() == ""


def test_what_is_left_out_is_told_once_and_shown_until_it_is_gone(stage: Stage) -> None:
    """In the security log, and where one looks whether all is well."""
    exchange = make(stage, LEFT, LEFT, Exchange(taken="f" * 40))
    assert [exchange(), exchange()] == [False, False]
    assert len(told(stage)) == 1
    assert "only UMS writes freezes.yaml" in told(stage)[0]
    assert exchange.problem() == "commit eeeeeeeeeeee at the Git host is left out: only UMS writes freezes.yaml"
    assert exchange()
    assert exchange.problem() == ""


def test_a_host_that_does_not_answer_is_shown(stage: Stage) -> None:
    """Until it does; what is recorded here goes on."""
    exchange = make(stage, UnavailableError("it is away"), Exchange())
    with pytest.raises(UnavailableError):
        exchange()
    assert exchange.problem() == "the Git host: it is away"
    exchange()
    assert exchange.problem() == ""


def test_who_moved_meanwhile_is_asked_again(stage: Stage) -> None:
    """That is no problem of anybody's."""
    exchange = make(stage, ConflictError("moved"))
    assert not exchange()
    assert exchange.problem() == ""

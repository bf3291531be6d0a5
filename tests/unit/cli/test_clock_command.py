"""``ums clock accept`` on the data of a service: what it prints, records, and what an audit says of it afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

from tests.data_folder import make_data
from tests.unit.usecases.stage import ADMIN, PROD
from ums.adapters.git_history import GitHistory
from ums.bootstrap import make_services
from ums.cli.root import root
from ums.config import Settings
from ums.domain.fleet import Registration
from ums.domain.rendering import render_plane
from ums.domain.world import Decision
from ums.services import Services
from ums.usecases.audit import Audit


def start(settings: Settings) -> Services:
    """Return a service that was started."""
    services = make_services(settings)
    services.health.store.close()  # type: ignore[attr-defined] # this one can, and opens again when asked
    return services


def serial_of(services: Services) -> int:
    """Return the serial of the one data plane."""
    desired = services.release_repo.read().plane(PROD).desired
    assert desired is not None
    return desired.serial


def test_serials_ahead_are_brought_back_and_the_audit_holds(tmp_path: Path) -> None:
    """Recorded with its reason; a dry run changes nothing."""
    settings, _ = make_data(tmp_path)
    services = start(settings)
    services.add_data_plane(Registration(PROD, "stable", ("platform",)), by=ADMIN)
    world, then = services.release_repo.read(), datetime.now(UTC) + timedelta(days=10)
    desired = world.plane(PROD).desired
    assert desired is not None
    ahead = replace(desired, serial=int(then.timestamp()), issued=then, expires=then + timedelta(days=7))
    decision = Decision("fleet: Do what is due", "reconcile", "ums", "x", then, {}, render_plane(world, PROD, ahead))
    services.release_repo.commit(decision, base=world.base)

    command = ["clock", "accept", str(settings.data), "--reason", "NTP was wrong", "--yes", "-o", "json"]
    tried = CliRunner().invoke(root, [*command, "--dry-run"], catch_exceptions=False)
    assert json.loads(tried.output)["renumbered"] == ["acme/prod"]
    assert serial_of(start(settings)) == ahead.serial
    done = CliRunner().invoke(root, command, catch_exceptions=False)
    assert json.loads(done.output)["renumbered"] == ["acme/prod"]
    services = start(settings)
    assert abs(serial_of(services) - datetime.now(UTC).timestamp()) < 600
    assert services.record.clock_problem(services.record.world()) == ""
    assert (services.log(limit=1)[0].action, services.log(limit=1)[0].reason) == ("clock-accept", "NTP was wrong")
    audited = Audit(GitHistory(settings.release_repo))()
    assert audited.holds, audited.flaws
    again = CliRunner().invoke(root, command[:-2], catch_exceptions=False)
    assert "the clock is accepted at" in again.output
    assert "new serials" not in again.output

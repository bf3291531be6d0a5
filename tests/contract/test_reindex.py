"""A database is lost: what Git has is answered as before, and what it has not is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.places import Place
from tests.doubles.memory_views import MemoryViews
from tests.unit.usecases.stage import ADA, ADMIN, KEYS, PROD, Outbox, Stage
from tests.unit.web.documented import document
from ums.adapters._release_files import parse_policy
from ums.adapters.derived_credentials import DerivedCredentials
from ums.adapters.sql_security_log import SqlSecurityLog
from ums.adapters.sql_sessions import SqlSessions
from ums.adapters.sql_store import SqlStore
from ums.adapters.sql_webhooks import SqlWebhooks
from ums.domain.errors import UnauthenticatedError
from ums.domain.fleet import Cluster, Facts, Health, Report
from ums.domain.freezes import Scope
from ums.domain.names import PDPName
from ums.domain.webhooks import Webhook
from ums.services import Services
from ums.usecases.instruct import Subject, Why
from ums.usecases.reindex import Reindex, Reindexed
from ums.usecases.security_events import SecurityEvents
from ums.web.app import create_app

WHY = Why(ADMIN, "a test")
KNOWN = {"bundle": "platform", "version": "1.0.0", "channel": "stable", "org": PROD.org, "pdp": PROD.pdp}
OF_THE_DATABASE = {
    "/audit",
    "/audit/export",
    "/stream",
    "/tokens",
    "/webhooks",
    "/webhooks/{name}/deliveries",
    "/whoami",
}
STRANGER, UNHEARD = PDPName("acme", "gone"), PDPName("acme", "gone-too")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Give a release repo with a release that was promoted, a data plane, a pin and a freeze."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.services.instruct.hold(PROD, Subject.parse("platform"), None, WHY)
    made.services.freeze_fleet.freeze("night", Scope(), WHY)
    yield made
    made.store.close()


def serve(stage: Stage, store: SqlStore) -> Services:
    """Return a service on a database."""
    return Services.wire(
        release_repo=stage.release_repo,
        views=MemoryViews(stage.release_repo),
        store=store,
        clock=stage.clock,
        verify=stage.verify,
        keys=KEYS,
        credentials=DerivedCredentials(b"m" * 32),
        parse_policy=parse_policy,
        webhooks=SqlWebhooks(store.database),
        sender=Outbox(),
        meter=stage.meter,
        security=SecurityEvents(SqlSecurityLog(store.database), stage.clock),
        sessions=SqlSessions(store.database),
    )


def answers(services: Services, token: str) -> dict[str, str]:
    """Return what every route answers that only reads what Git has."""
    client, found = create_app(services).test_client(), {}
    for path, operations in document()["paths"].items():
        route = path.removeprefix("/api/v1")
        if "get" not in operations or route == path or route in OF_THE_DATABASE:
            continue
        query = (
            {
                each["name"]: "platform@1.0.0"
                for each in operations["get"]["parameters"]
                if each["required"] and each["in"] == "query"
            }
            if "parameters" in operations["get"]
            else {}
        )
        url = re.sub(r"{(\w+)}", lambda name: KNOWN[name[1]], path)
        answer = client.get(url, query_string=query, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        found[url] = answer.text
    return found


def reindex(stage: Stage, store: SqlStore, *, dry_run: bool = False) -> Reindexed:
    """Reindex a database."""
    security = SecurityEvents(SqlSecurityLog(store.database), stage.clock)
    verb = Reindex(stage.release_repo, store, SqlWebhooks(store.database), stage.clock, security)
    return verb(by="uid 0", dry_run=dry_run)


def test_a_lost_database_changes_no_answer_that_git_can_give(stage: Stage, place: Place) -> None:
    """Whoever holds the data folder gets in again; tokens and webhooks of before are gone."""
    store = place.open()
    before = serve(stage, store)
    first = before.issue_token(ADA, expires=None, by=ADMIN)
    before.manage_webhooks.add(Webhook("chat", "https://example.com", "whsec_c2VjcmV0", (), frozenset()), by=ADMIN)
    told = answers(before, first)
    assert len(told) > 15
    store.close()
    place.lose()
    store = place.open()
    would = reindex(stage, store, dry_run=True)
    assert (would.admins, would.token, store.tokens()) == (0, None, [])
    done = reindex(stage, store)
    assert (done.data_planes, list(done.unheard), done.webhooks, done.admins) == (1, [PROD], 0, 0)
    assert done.token is not None
    assert [each.kind for each in SqlSecurityLog(store.database).read(after=0, limit=9)] == [
        "token.issued",
        "database.rebuilt",
    ]
    after = serve(stage, store)
    with pytest.raises(UnauthenticatedError):
        after.authenticate(first)
    assert answers(after, done.token) == told
    again = reindex(stage, store)
    assert (again.token, again.admins) == (None, 1)
    store.close()


def test_reports_that_git_knows_nothing_of_are_dropped(stage: Stage, place: Place) -> None:
    """Of data planes that nobody registered, and on states that were never offered, which would drown out the next."""
    store = place.open()
    now = stage.clock.now()
    report = Report(1 << 40, Health.HEALTHY, "done", "", at=now, since=now, heard=now)
    assert store.record(PROD, report)
    assert store.record(STRANGER, report)
    assert (reindex(stage, store, dry_run=True).ahead, len(store.reports())) == ([PROD], 2)
    seen = Cluster(now, now, Facts(), ())
    assert store.record_cluster(UNHEARD, seen)
    done = reindex(stage, store)
    assert (done.strangers, done.ahead, store.reports()) == ([STRANGER, UNHEARD], [PROD], {})
    assert store.facts() == {}
    desired = serve(stage, store).record.world().plane(PROD).desired
    assert desired is not None
    heard = replace(report, serial=desired.serial, heard=now + timedelta(minutes=1))
    assert store.record(PROD, heard)
    assert (reindex(stage, store).ahead, store.reports()) == ([], {PROD: heard})
    store.close()

"""What Flux's events mean, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.domain.worlds import NOW
from ums.domain.errors import InvalidInputError
from ums.domain.events import MAX_MESSAGE, FluxEvent, merged, report_of
from ums.domain.fleet import Health, Report

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROOT = ("Kustomization", "ums-root")
WRAPPER = ("Kustomization", "platform-cilium")
SOURCE = ("GitRepository", "ums")
MINUTE, SILENT_AFTER = timedelta(minutes=1), timedelta(minutes=13)


def body(about: tuple[str, str] = ROOT, **fields: object) -> dict[str, Any]:
    """Return an event as notification-controller sends it."""
    kind, name = about
    return {
        "involvedObject": {"kind": kind, "name": name, "namespace": "ums-system"},
        "severity": "info",
        "timestamp": "2026-11-23T12:00:00Z",
        "message": "said so",
        "reason": "ReconciliationSucceeded",
        "metadata": {"kustomize.toolkit.fluxcd.io/revision": f"delivery@sha1:{COMMIT}"},
        **fields,
    }


def read(
    about: tuple[str, str], reason: str, severity: str, *, serial: int | None = 7, known: Report | None = None
) -> Report | None:
    """Return the report of an event."""
    event = FluxEvent.from_dict(body(about, reason=reason, severity=severity))
    return report_of(event, serial=serial, known=known, heard=NOW, silent_after=SILENT_AFTER)


def said(health: Health, component: str = "", *, serial: int = 7, seconds: int = -1) -> Report:
    """Return a report that is known."""
    return Report(serial, health, "", component, NOW + timedelta(seconds=seconds), NOW)


@pytest.mark.parametrize(
    ("about", "reason", "severity", "expected"),
    [
        (ROOT, "ReconciliationSucceeded", "info", (Health.HEALTHY, "")),
        (ROOT, "Progressing", "info", (Health.UPDATING, "")),
        (ROOT, "ProgressingWithRetry", "error", (Health.UPDATING, "")),
        (ROOT, "DependencyNotReady", "error", (Health.UPDATING, "")),
        (ROOT, "HealthCheckFailed", "error", (Health.FAILED, "")),
        (ROOT, "ReconciliationFailed", "error", (Health.FAILED, "")),
        (ROOT, "Whatever", "info", None),
        (WRAPPER, "ReconciliationSucceeded", "info", None),
        (WRAPPER, "Progressing", "info", None),
        (WRAPPER, "DependencyNotReady", "error", None),
        (WRAPPER, "HealthCheckFailed", "error", (Health.FAILED, "platform-cilium")),
        (SOURCE, "NewArtifact", "info", None),
        (SOURCE, "InvalidCommitSignature", "error", (Health.FAILED, "ums")),
    ],
)
def test_only_the_root_says_that_all_is_well(
    about: tuple[str, str], reason: str, severity: str, expected: tuple[Health, str] | None
) -> None:
    """Wrappers say what failed, the source that it cannot be read; to wait is no failure."""
    report = read(about, reason, severity, known=said(Health.UPDATING))
    assert (report and (report.health, report.component)) == expected


def test_a_report_has_the_senders_time_and_ours() -> None:
    """And Flux's own words."""
    report = read(ROOT, "ReconciliationSucceeded", "info", serial=9)
    assert report == Report(9, Health.HEALTHY, "said so", "", NOW, NOW, applied=True)


def test_a_commit_that_is_none_of_ours_reports_nothing() -> None:
    """An unknown revision has no serial."""
    assert read(ROOT, "ReconciliationSucceeded", "info", serial=None) is None


@pytest.mark.parametrize(("known", "serial"), [(said(Health.HEALTHY, serial=5), 5), (None, 0)])
def test_a_source_that_fails_names_no_revision_so_the_last_serial_stands(known: Report | None, serial: int) -> None:
    """There is no other."""
    report = read(SOURCE, "InvalidCommitSignature", "error", serial=None, known=known)
    assert report is not None
    assert report.serial == serial


@pytest.mark.parametrize(
    ("known", "kept"),
    [
        (said(Health.FAILED, "platform-cilium"), False),
        (said(Health.FAILED), True),
        (said(Health.FAILED, "platform-cilium", serial=6), True),
        (said(Health.HEALTHY), True),
        (said(Health.UPDATING), True),
        (said(Health.HEALTHY, seconds=1), False),
        (said(Health.HEALTHY, serial=8), False),
    ],
)
def test_a_failure_of_the_root_counts_unless_its_component_is_known(known: Report, *, kept: bool) -> None:
    """The root repeats what a wrapper said first, less exactly; what is older counts never."""
    report = read(ROOT, "ReconciliationFailed", "error", known=known)
    assert (report is not None and report.component == "") is kept


@pytest.mark.parametrize("reason", ["HealthCheckFailed", "ReconciliationSucceeded"])
def test_an_offer_that_was_applied_stays_so_until_the_next(reason: str) -> None:
    """Health is checked last; and what failed is still named, whoever speaks first."""
    known = said(Health.FAILED, "platform-cilium")
    root = read(ROOT, reason, "error", known=known)
    assert root is not None
    assert (root.component, root.applied) == ("platform-cilium", True)
    event = FluxEvent.from_dict(body(WRAPPER, reason="HealthCheckFailed", severity="error"))
    for serial, applied in ((7, True), (8, False)):
        late = report_of(
            event,
            serial=serial,
            known=replace(root, at=NOW - timedelta(seconds=1)),
            heard=NOW,
            silent_after=SILENT_AFTER,
        )
        assert late is not None
        assert late.applied is applied


def test_an_offer_that_could_not_be_applied_is_not_applied() -> None:
    """Nor is one that something of it failed in."""
    for about in (ROOT, WRAPPER):
        report = read(about, "ReconciliationFailed", "error")
        assert report is not None
        assert not report.applied


def test_recovery_replaces_a_failure_that_names_its_component() -> None:
    """Else a data plane would stay red."""
    known = said(Health.FAILED, "platform-cilium")
    assert merged(said(Health.HEALTHY, seconds=0), known, SILENT_AFTER) is not None


def test_what_was_seen_before_reports_nothing() -> None:
    """So it does not refresh when the data plane was last heard of either."""
    first = read(ROOT, "ReconciliationSucceeded", "info")
    assert read(ROOT, "ReconciliationSucceeded", "info", known=first) is None


def test_a_failure_that_lasts_is_heard_of_again() -> None:
    """Its component stays known; a data plane that says the same every few minutes is not silent."""
    known = said(Health.FAILED, "platform-cilium", seconds=-600)
    report = read(ROOT, "HealthCheckFailed", "error", known=replace(known, heard=NOW - 10 * MINUTE, applied=True))
    assert report is not None
    assert (report.component, report.heard, report.at) == ("platform-cilium", NOW, NOW)


def after(known: Report, gap: timedelta, health: Health = Health.HEALTHY, serial: int = 7) -> Report:
    """Return what is known once another report came."""
    at = known.heard + gap
    report = merged(Report(serial, health, "", "", at, at), known, SILENT_AFTER)
    assert report is not None
    return report


def test_only_who_reports_at_an_interval_can_be_silent() -> None:
    """It is learnt from what comes: the same good news of the same state, again and in time."""
    first = said(Health.HEALTHY)
    assert first.silent_after is None, "one report may be of a change"
    assert after(first, MINUTE).silent_after == SILENT_AFTER
    assert after(first, MINUTE, serial=8).silent_after is None, "nor are two of two states"
    assert after(said(Health.UPDATING), MINUTE).silent_after is None, "nor is how a change went"
    assert after(first, SILENT_AFTER + MINUTE).silent_after is None, "nor two that came by chance"


def test_what_was_learnt_is_kept_through_changes_and_ends_with_a_gap() -> None:
    """So it counts in the middle of an update; who switched the reports off is not silent for ever."""
    beating = after(said(Health.HEALTHY), MINUTE)
    for health in (Health.UPDATING, Health.FAILED, Health.HEALTHY):
        for serial in (7, 8):
            assert after(beating, MINUTE, health, serial).silent_after == SILENT_AFTER
            assert after(beating, SILENT_AFTER + MINUTE, health, serial).silent_after is None


def test_a_long_message_is_cut() -> None:
    """Clusters are not ours: they do not decide how much we keep."""
    assert len(FluxEvent.from_dict(body(message="x" * 100_000)).message) == MAX_MESSAGE


@pytest.mark.parametrize("field", ["name", "message"])
def test_text_that_no_database_takes_is_cleaned(field: str) -> None:
    """Half a character and NUL are valid JSON, and would be refused at the very end."""
    about, message = ("x\0\ud800", "") if field == "name" else ("x", "x\0\ud800")
    event = FluxEvent.from_dict(body(("Kustomization", about), message=message))
    assert getattr(event, field) == r"x\x00\ud800"


@pytest.mark.parametrize(
    ("metadata", "commit"),
    [
        ({"kustomize.toolkit.fluxcd.io/revision": f"delivery@sha1:{COMMIT}"}, COMMIT),
        ({"source.toolkit.fluxcd.io/revision": f"sha1:{COMMIT}"}, COMMIT),
        ({"revision": f"delivery@sha1:{COMMIT}"}, COMMIT),
        ({"revision": "delivery@sha1:0123"}, None),
        ({"revision": f"delivery@sha1:{COMMIT}; rm"}, None),
        ({"originRevision": f"delivery@sha1:{COMMIT}"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_commit_is_read_from_the_revision(metadata: object, commit: str | None) -> None:
    """Under whichever prefix the controller writes it."""
    assert FluxEvent.from_dict(body(metadata=metadata)).commit_id == commit


@pytest.mark.parametrize(
    "wrong",
    [
        body(("HelmRelease", "platform-cilium")),
        body(("Secret", "ums-git")),
        body(involvedObject={"kind": "Kustomization", "name": "ums-root", "namespace": "flux-system"}),
        body(involvedObject={"kind": "Kustomization", "name": "ums-root"}),
        body(involvedObject="ums-root"),
        body(timestamp="yesterday"),
        body(timestamp="2026-11-23T12:00:00"),
        body(metadata=7),
        body(metadata=[1]),
        {key: value for key, value in body().items() if key != "severity"},
        {},
        [],
        None,
        "event",
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_is_no_event_of_ours_is_invalid(wrong: Any) -> None:  # noqa: ANN401 - whatever JSON can be
    """Other kinds and namespaces, and every other kind of nonsense: an answer, never a crash."""
    with pytest.raises(InvalidInputError):
        FluxEvent.from_dict(wrong)

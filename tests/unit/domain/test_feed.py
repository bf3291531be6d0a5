"""What a commit did, read off the files that it changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.domain.worlds import NOW
from ums.domain.feed import events_of
from ums.domain.world import LogEntry

COMMIT = LogEntry("c" * 40, NOW, "subject", "ada", "an-action", "because")
WISH: dict[str, Any] = {
    "bundle": "platform",
    "release": "1.1.0",
    "wanted": {"by": "ada"},
    "approvals": [],
    "executed": None,
}
YES, NO = {"by": "bob", "reason": "", "rejects": False}, {"by": "eve", "reason": "slow", "rejects": True}
OVERRIDE = {"by": "bob", "reason": "loses packets", "gate": "regression", "findings": ["cilium 1.1.0 -> 1.0.0"]}
DONE = {"by": "ada", "gates": [{"gate": "soak", "verdict": "skipped"}, {"gate": "feeder", "verdict": "passed"}]}
RUNNING = {"release": "1.1.0", "started": "s", "status": "running", "wave": 0, "by": "ums", "reason": "x"}
PIN = {"bundle": "platform", "component": "cilium", "versions": "~1.16", "until": "2026-12-01T00:00:00Z"}
HOLD = {"bundle": "platform", "component": None, "release": "1.0.0"}
OVERLAP = {"generation": 2, "previousUntil": "2026-12-01T00:00:00Z"}
ALONE = {**OVERLAP, "previousUntil": None}
PROMOTION, ROLLOUT = "channels/stable/promotions/platform-1.1.0.yaml", "channels/stable/rollouts/platform.yaml"
STATUS, DECISIONS = "catalog/platform/1.1.0/status.yaml", "fleet/acme/prod/decisions.yaml"
FREEZE = {"name": "holidays", "scope": {"channel": "stable"}, "until": None}


@pytest.mark.parametrize(
    ("path", "before", "after", "told"),
    [
        (STATUS, None, {"signedBy": ["ci"]}, ["release.published"]),
        (STATUS, {}, {"yanked": "burns"}, ["release.yanked"]),
        (STATUS, {"yanked": "burns"}, {"yanked": ""}, ["release.unyanked"]),
        (STATUS, {}, {"yanked": "burns", "recall": {"to": "1.0.0"}}, ["release.recalled"]),
        (STATUS, {}, {"skipped": [{}]}, []),
        (PROMOTION, None, WISH, ["promotion.requested"]),
        (PROMOTION, None, {**WISH, "wanted": None, "approvals": [YES]}, ["promotion.approved"]),
        (PROMOTION, {**WISH, "approvals": [YES]}, {**WISH, "approvals": [YES, NO]}, ["promotion.rejected"]),
        (PROMOTION, None, {**WISH, "wanted": None, "overrides": [OVERRIDE]}, ["promotion.overridden"]),
        (PROMOTION, {**WISH, "overrides": [OVERRIDE]}, WISH, ["promotion.override-ended"]),
        (PROMOTION, {**WISH, "wanted": None, "overrides": [OVERRIDE]}, None, ["promotion.override-ended"]),
        (
            PROMOTION,
            {**WISH, "overrides": [OVERRIDE]},
            {**WISH, "overrides": [OVERRIDE], "executed": DONE},
            ["promotion.done"],
        ),
        (PROMOTION, WISH, {**WISH, "executed": DONE}, ["promotion.done"]),
        (PROMOTION, None, {**WISH, "wanted": None, "executed": DONE}, ["promotion.done"]),
        (PROMOTION, WISH, None, ["promotion.cancelled"]),
        (
            PROMOTION,
            {**WISH, "approvals": [YES]},
            {**WISH, "wanted": None, "approvals": [YES]},
            ["promotion.cancelled"],
        ),
        (PROMOTION, {**WISH, "wanted": None, "approvals": [YES]}, None, []),
        (ROLLOUT, None, RUNNING, ["rollout.started"]),
        (ROLLOUT, RUNNING, {**RUNNING, "release": "1.2.0", "started": "t"}, ["rollout.started"]),
        (ROLLOUT, RUNNING, {**RUNNING, "wave": 1}, ["rollout.wave-started"]),
        (ROLLOUT, RUNNING, {**RUNNING, "waveDone": "now"}, []),
        (ROLLOUT, RUNNING, {**RUNNING, "status": "halted"}, ["rollout.halted"]),
        (ROLLOUT, {**RUNNING, "status": "paused"}, RUNNING, ["rollout.resumed"]),
        (ROLLOUT, RUNNING, {**RUNNING, "status": "finished"}, ["rollout.finished"]),
        (DECISIONS, None, {"pins": [PIN], "holds": [HOLD]}, ["pdp.pin", "pdp.hold"]),
        (DECISIONS, {"pins": [PIN]}, {"pins": [], "consents": [HOLD]}, ["pdp.unpin", "pdp.consent"]),
        (DECISIONS, {"pins": [PIN]}, {"pins": [{**PIN, "versions": "~1.17"}]}, ["pdp.pin", "pdp.unpin"]),
        (DECISIONS, None, {"credentials": {"generation": 2, "previousUntil": None}}, ["pdp.rotated"]),
        (DECISIONS, {"credentials": OVERLAP}, {"credentials": {**OVERLAP, "generation": 3}}, ["pdp.rotated"]),
        (DECISIONS, {"credentials": OVERLAP}, {"credentials": ALONE}, ["pdp.rotation-finished"]),
        (DECISIONS, {"credentials": OVERLAP}, {"credentials": OVERLAP, "pins": [PIN]}, ["pdp.pin"]),
        (DECISIONS, {"credentials": OVERLAP}, None, []),
        ("fleet/acme/prod/retired.yaml", None, {"lastSerial": 1}, []),
        ("channels/stable/state.yaml", {"holds": []}, {"holds": [HOLD]}, ["channel.hold"]),
        ("channels/stable/policy.in-force.yaml", {}, {"feeder": "edge"}, ["channel.added"]),
        ("channels/stable/policy.in-force.yaml", {"a": 1}, {"feeder": "edge"}, ["channel.policy-changed"]),
        ("fleet/acme/prod/registration.yaml", None, {"channel": "edge"}, ["pdp.registered"]),
        ("fleet/acme/prod/registration.yaml", {"channel": "edge"}, {"channel": "lts"}, ["pdp.changed"]),
        ("fleet/acme/prod/registration.yaml", {"channel": "edge"}, None, ["pdp.removed"]),
        ("freezes.yaml", None, {"freezes": [FREEZE]}, ["freeze.set"]),
        ("freezes.yaml", {"freezes": [FREEZE]}, {"freezes": []}, ["freeze.lifted"]),
        ("risks/old-kernel.yaml", None, {"message": "no"}, ["risk.declared"]),
        ("risks/old-kernel.yaml", {"message": "no"}, None, ["risk.retracted"]),
        ("trust.yaml", {"a": 1}, {"a": 2}, []),
        ("catalog/platform/1.1.0/other.yaml", None, {}, []),
    ],
)
def test_a_change_is_told_as_what_it_means(
    path: str, before: dict[str, Any] | None, after: dict[str, Any] | None, told: list[str]
) -> None:
    """And nothing is told that did not happen."""
    events = events_of(COMMIT, {path: (before, after)})
    assert [event.kind for event in events] == told
    assert all(event.subject for event in events)


def test_an_event_is_a_cloudevent_with_the_same_id_each_time() -> None:
    """Who is told twice can know."""
    changes = {ROLLOUT: (RUNNING, {**RUNNING, "status": "halted", "reason": "2 of 10 failed"}), STATUS: (None, {})}
    first, second = events_of(COMMIT, changes)
    assert first.to_dict("https://ums.example.com") == {
        "specversion": "1.0",
        "id": "c" * 40 + "-0",
        "source": "https://ums.example.com",
        "type": "dev.ums.release.published",
        "subject": "platform@1.1.0",
        "time": "2026-11-23T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"by": "ada", "reason": "because", "release": "platform@1.1.0", "signedBy": [], "commit": "c" * 40},
    }
    assert second.to_dict("x")["id"] == "c" * 40 + "-1"
    assert (second.data["by"], second.data["reason"]) == ("ums", "2 of 10 failed")
    assert events_of(COMMIT, changes) == (first, second)

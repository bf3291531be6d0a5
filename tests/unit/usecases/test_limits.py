"""Whoever is limited to bundles, channels or organizations touches nothing else – each verb, each limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.usecases.stage import ADA, ADMIN, PROD, Stage
from ums.domain.errors import ForbiddenError
from ums.domain.fleet import Given, Registration
from ums.domain.freezes import Scope
from ums.domain.identity import Grant, Holder, Identity
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.risks import Risk
from ums.domain.version import Version, VersionRange
from ums.services import Services
from ums.usecases.instruct import Subject, Why

PLATFORM, NEXT = Subject("platform"), ReleaseName("platform", Version("1.1.0"))
V1 = Version("1.0.0")
RISK = Risk("burns", "platform", VersionRange("1.1.0"), "it burns", Given("x", "x", datetime(2026, 1, 1, tzinfo=UTC)))
EDITED = b"{feeder: edge, description: edited}"
Act = Callable[[Services, Identity], object]

ACTS: dict[str, tuple[Act, set[str]]] = {
    "promote": (lambda do, by: do.promote(NEXT, to="stable", by=by, dry_run=True), {"bundle", "channel"}),
    "cancel": (lambda do, by: do.cancel_promotion(NEXT, to="stable", why=Why(by, "x")), {"bundle", "channel"}),
    "steer": (lambda do, by: do.steer_rollout("pause", "stable", "platform", Why(by, "x")), {"bundle", "channel"}),
    "roll a channel back": (
        lambda do, by: do.instruct.roll_back_channel("stable", "platform", V1, Why(by, "x")),
        {"bundle", "channel"},
    ),
    "set a policy": (lambda do, by: do.set_policy("stable", EDITED, Why(by, "x"), dry_run=True), {"channel"}),
    "yank": (lambda do, by: do.withdraw_release.yank(NEXT, Why(by, "x"), dry_run=True), {"bundle"}),
    "recall": (lambda do, by: do.withdraw_release.recall(NEXT, V1, Why(by, "x"), dry_run=True), {"bundle"}),
    "declare a risk": (lambda do, by: do.declare_risk.declare(RISK, Why(by, "x"), dry_run=True), {"bundle"}),
    "freeze all": (lambda do, by: do.freeze_fleet.freeze("all", Scope(), Why(by, "x")), set()),
    "freeze a channel": (
        lambda do, by: do.freeze_fleet.freeze("c", Scope(channel="stable"), Why(by, "x")),
        {"channel"},
    ),
    "freeze an organization": (
        lambda do, by: do.freeze_fleet.freeze("o", Scope(org="acme"), Why(by, "x")),
        {"org"},
    ),
    "freeze a data plane": (lambda do, by: do.freeze_fleet.freeze("p", Scope(pdp=PROD), Why(by, "x")), {"org"}),
    "pin": (
        lambda do, by: do.instruct.pin(PROD, PLATFORM, None, Why(by, "x"), dry_run=True),
        {"bundle", "channel", "org"},
    ),
    "consent": (
        lambda do, by: do.instruct.consent(PROD, NEXT, Why(by, "x"), dry_run=True),
        {"bundle", "channel", "org"},
    ),
    "register": (
        lambda do, by: do.add_data_plane(
            Registration(PDPName("acme", "new"), "stable", ("platform",)), by=by, dry_run=True
        ),
        {"bundle", "channel", "org"},
    ),
    "change": (
        lambda do, by: do.change_data_plane(
            PROD, lambda each: replace(each, labels={"a": "b"}), Why(by, "x"), dry_run=True
        ),
        {"bundle", "channel", "org"},
    ),
    "bootstrap": (lambda do, by: do.bootstrap_data_plane(PROD, by=by), {"bundle", "channel", "org"}),
    "issue a token": (lambda do, by: do.issue_token(Holder("y", frozenset({"admin"})), expires=None, by=by), set()),
}
"""What an act does, and the kinds to which one may be limited and still do it, where the limit names what is there."""
CONCERNS_NONE = {("bootstrap", "bundle"), ("bootstrap", "channel"), ("change", "bundle")}
LIMITS = {"bundle": "platform", "channel": "stable", "org": "acme"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a data plane of acme on 1.0.0 in stable, with 1.1.0 published."""
    made = Stage(tmp_path_factory.mktemp("limits"))
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.publish("1.1.0")
    made.promote("1.1.0", "edge")
    return made


def limited(kind: str, name: str) -> Identity:
    """Return an admin of one bundle, channel or organization."""
    fields: dict[str, Any] = {f"{kind}s": frozenset({name})}
    return replace(ADA, **fields).identity


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("act", ACTS)
def test_a_limit_holds(stage: Stage, act: str, kind: str) -> None:
    """Even for an admin: limited to what is concerned one may, if nothing else is; limited to another, never."""
    do, allowed = ACTS[act]
    inside, outside = limited(kind, LIMITS[kind]), limited(kind, "another")
    if kind in allowed:
        do(stage.services, inside)
    else:
        with pytest.raises(ForbiddenError):
            do(stage.services, inside)
    if (act, kind) not in CONCERNS_NONE:
        with pytest.raises(ForbiddenError):
            do(stage.services, outside)


def test_nobody_switches_to_a_channel_beyond_the_limit(stage: Stage) -> None:
    """Nor away from one."""
    for channel in ("stable", "edge"):
        by = replace(ADA, channels=frozenset({channel})).identity
        with pytest.raises(ForbiddenError):
            stage.services.change_data_plane(PROD, lambda each: replace(each, channel="edge"), Why(by, "x"))


def test_only_who_may_freeze_may_thaw(tmp_path: Path) -> None:
    """Of an organization's freeze, that organization's operators; of one on everything, none of them."""
    stage = Stage(tmp_path)
    stage.add_plane()
    olga = Holder("olga", frozenset({"operator"}), orgs=frozenset({"acme"})).identity
    stage.services.freeze_fleet.freeze("mine", Scope(org="acme"), Why(olga, "audit"))
    stage.services.freeze_fleet.freeze("all", Scope(), Why(ADMIN, "incident"))
    with pytest.raises(ForbiddenError, match="limited to organization acme; this concerns every organization"):
        stage.services.freeze_fleet.thaw("all", Why(olga, "impatient"))
    stage.services.freeze_fleet.thaw("mine", Why(olga, "done"))
    assert [each.name for each in stage.world().freezes] == ["all"]


@pytest.mark.parametrize("act", ["pin", "consent", "change"])
def test_grants_do_not_make_up_for_each_other(stage: Stage, act: str) -> None:
    """Two that reach the channel and the organization each are none that reaches both."""
    do, _ = ACTS[act]
    apart = (
        Grant("admin", channels=frozenset({"stable"}), orgs=frozenset({"another"})),
        Grant("admin", channels=frozenset({"another"}), orgs=frozenset({"acme"})),
    )
    with pytest.raises(ForbiddenError):
        do(stage.services, Identity("olga", grants=apart))
    do(stage.services, Identity("olga", grants=(*apart, Grant("admin", channels=frozenset({"stable"})))))


def test_two_limits_of_bundle_and_channel_are_not_combined(stage: Stage) -> None:
    """Consenting to a bundle in one channel, and to another bundle in another, is not the first in the second."""
    apart = (
        Grant("operator", bundles=frozenset({"platform"}), channels=frozenset({"edge"})),
        Grant("operator", bundles=frozenset({"flux"}), channels=frozenset({"stable"})),
    )
    with pytest.raises(ForbiddenError, match="limited to channel edge; this concerns stable"):
        stage.services.instruct.consent(PROD, NEXT, Why(Identity("olga", grants=apart), "x"))

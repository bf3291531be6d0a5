"""Who may call which route: the one table that the tests of roles are made from."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.unit.usecases.stage import PROD
from ums.domain.digest import Digest
from ums.domain.identity import ROLES

API = "/api/v1"
PLANE = f"/pdps/{PROD}"
ALL = "all of them"


@dataclass(frozen=True)
class Row:
    """A route, and who may call it.

    Attributes:
        body: of a request that is as it should be.
        roles: those that may, without limits.
        bundle, channel, org: what it concerns: a name, ``ALL``, or nothing.

    """

    roles: frozenset[str]
    body: dict[str, object] = field(default_factory=dict)
    bundle: str = ""
    channel: str = ""
    org: str = ""


READERS = frozenset(ROLES)
ADMINS = frozenset({"admin"})
ENGINEERS = ADMINS | {"release-engineer"}
OPERATORS = ENGINEERS | {"operator"}
PUBLISHERS = ENGINEERS | {"publisher"}
APPROVERS = OPERATORS | {"approver"}

REASON: dict[str, object] = {"reason": "x"}
INSTRUCTION: dict[str, object] = {"subject": "platform", "release": "1.0.0", "versions": "1.x", "reason": "x"}
RELEASE: dict[str, object] = {"release": "platform@1.0.0", "reason": "x"}
POLICY: dict[str, object] = {"policy": "schema: 1\n", "reason": "x"}
RISK: dict[str, object] = {"name": "bad", "bundle": "platform", "releases": "1.x", "message": "m", "reason": "x"}
REGISTRATION: dict[str, object] = {"pdp": "acme/new", "channel": "edge", "bundles": ["platform"]}
PUBLISHED: dict[str, object] = {"release": "platform@9.9.9", "digest": str(Digest.of(b"x"))}
ROLE: dict[str, object] = {"role": "viewer", "subject": "x", "reason": "x"}
STATE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINcwS6E7udWnw3J5ifDHtEJKp7DhsY9Fvw2dsdvuc/aA"
HOOK: dict[str, object] = {"name": "chat", "url": "https://example.com"}
ANY = Row(READERS)
THIS_PLANE = Row(READERS, org="acme")
INSTRUCTED = Row(OPERATORS, INSTRUCTION, "platform", "stable", "acme")
IN_PLANE = Row(ADMINS, REASON, "platform", "stable", "acme")
WITHDRAWN = Row(ENGINEERS, REASON, "platform", ALL, ALL)
IN_STABLE = Row(ENGINEERS, INSTRUCTION, "platform", "stable", ALL)
EVERYTHING = Row(ADMINS, {}, ALL, ALL, ALL)

READS: dict[str, Row] = {
    "/info": ANY,
    "/whoami": ANY,
    "/trust": ANY,
    "/keys": ANY,
    "/status": ANY,
    "/plan": ANY,
    "/log": ANY,
    "/events": ANY,
    "/stream?seconds=0": ANY,
    "/insights": ANY,
    "/releases": ANY,
    "/releases/platform/1.0.0": ANY,
    "/releases/platform/1.0.0/diff": ANY,
    "/releases/platform/1.0.0/exposed": ANY,
    "/floors": ANY,
    "/channels": ANY,
    "/channels/stable": ANY,
    "/channels/stable/gates?release=platform@1.0.0": ANY,
    "/channels/stable/rollouts": ANY,
    "/freezes": ANY,
    "/risks": ANY,
    "/pdps": ANY,
    PLANE: THIS_PLANE,
    f"{PLANE}/explanation": THIS_PLANE,
    f"{PLANE}/history": THIS_PLANE,
    f"{PLANE}/bootstrap": Row(ADMINS, org="acme"),
    "/roles": Row(ADMINS),
    "/tokens": EVERYTHING,
    "/webhooks": EVERYTHING,
    "/webhooks/chat/deliveries": EVERYTHING,
    "/audit": EVERYTHING,
    "/audit/export": EVERYTHING,
}
"""Every route that reads."""

CHANGES: dict[str, Row] = {
    "/releases": Row(PUBLISHERS, PUBLISHED, "platform"),
    "/releases/platform/1.0.0/yank": WITHDRAWN,
    "/releases/platform/1.0.0/unyank": WITHDRAWN,
    "/releases/platform/1.0.0/recall": WITHDRAWN,
    "/releases/platform/1.0.0/signatures": Row(PUBLISHERS, {}, "platform"),
    "/keys": Row(ADMINS, {"addStateKeys": [STATE_KEY], "reason": "x"}, ALL, ALL, ALL),
    "/channels/edge/promotions": Row(ENGINEERS, RELEASE, "platform", "edge", ALL),
    "/channels/stable/rollouts/platform/pause": Row(ENGINEERS, REASON, "platform", "stable", ALL),
    "/channels/stable/policy": Row(ADMINS, POLICY, ALL, "stable", ALL),
    "/channels/stable/policy/lint": Row(ADMINS, POLICY, ALL, "stable", ALL),
    "/channels/stable/approvals": Row(APPROVERS, RELEASE, "platform", "stable"),
    "/channels/stable/overrides": Row(ENGINEERS, {**RELEASE, "gate": "regression"}, "platform", "stable", ALL),
    "/channels/stable/rollbacks": IN_STABLE,
    "/channels/stable/cancellations": Row(ENGINEERS, RELEASE, "platform", "stable", ALL),
    "/channels/stable/unholds": IN_STABLE,
    "/freezes": Row(OPERATORS, REASON, ALL, ALL, ALL),
    "/thaws": Row(OPERATORS, {"name": "everything", "reason": "x"}, ALL, ALL, ALL),
    "/risks": Row(ENGINEERS, RISK, "platform", ALL, ALL),
    "/risks/bad/retract": WITHDRAWN,
    "/pdps": Row(ADMINS, REGISTRATION, "platform", "edge", "acme"),
    f"{PLANE}/registration": Row(ADMINS, {"labels": {"a": "b"}, "reason": "x"}, "", "stable", "acme"),
    f"{PLANE}/rotate": IN_PLANE,
    f"{PLANE}/finish-rotation": IN_PLANE,
    f"{PLANE}/remove": IN_PLANE,
    f"{PLANE}/pins": INSTRUCTED,
    f"{PLANE}/unpins": INSTRUCTED,
    f"{PLANE}/holds": INSTRUCTED,
    f"{PLANE}/unholds": INSTRUCTED,
    f"{PLANE}/rollbacks": INSTRUCTED,
    f"{PLANE}/consents": Row(OPERATORS, RELEASE, "platform", "stable", "acme"),
    f"{PLANE}/accepted-risks": Row(OPERATORS, {"risk": "bad", "reason": "x"}, "platform", "stable", "acme"),
    "/roles": Row(ADMINS, ROLE, ALL, ALL, ALL),
    "/roles/revoke": Row(ADMINS, ROLE),
    "/tokens": Row(ADMINS, {"subject": "x", "groups": ["viewer"]}, ALL, ALL, ALL),
    "/tokens/0123456789ab/revoke": EVERYTHING,
    "/webhooks": Row(ADMINS, HOOK, ALL, ALL, ALL),
    "/webhooks/chat/remove": EVERYTHING,
    "/deliveries/1/replay": EVERYTHING,
}
"""Every route that changes something, or takes a body; only events and reports, which are signed, are not here."""

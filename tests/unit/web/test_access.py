"""Every route and every role, and what other organizations are not told."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import ADA, ADMIN, AT_ONCE, PROD, Stage
from tests.unit.web.documented import UNDOCUMENTED, documented_client
from tests.unit.web.role_table import ALL, API, CHANGES, PLANE, READS, Row
from ums.domain import layout
from ums.domain.access import Grantee, GranteeKind
from ums.domain.fleet import Cluster, Facts, Health
from ums.domain.freezes import Scope
from ums.domain.identity import ROLES, Grant, Holder
from ums.domain.names import PDPName
from ums.domain.release import ReleaseName
from ums.domain.risks import Risk
from ums.domain.throttling import Rate, Throttle
from ums.domain.version import Version, VersionRange
from ums.domain.world import Decision, Raw
from ums.usecases.instruct import Subject, Why
from ums.web.app import create_app

WEB = Path(__file__).parents[3] / "ums" / "web"
OPEN = {
    "login.log_in",
    "login.come_back",
    "logout.log_out",
    "checks.healthz",
    "checks.readyz",
    "document.openapi",
    "reports.report_event",
    "reports.report_cluster",
    *UNDOCUMENTED,
}
ROWS = [*(("GET", path) for path in READS), *(("POST", path) for path in CHANGES)]
IDS = [f"{method} {path}" for method, path in ROWS]
LIMITS = {"bundle": ("platform", "flux"), "channel": ("stable", "edge"), "org": ("acme", "globex")}
WHY = Why(ADMIN, "a test")


@dataclass(frozen=True)
class Caller:
    """Somebody who calls, with a token of one role."""

    role: str
    bundle: str = ""
    channel: str = ""
    org: str = ""

    def __str__(self) -> str:
        limits = [f"{kind} {name}" for kind in LIMITS if (name := getattr(self, kind))]
        return " of ".join([self.role, *limits])

    @property
    def holder(self) -> Holder:
        """Return whom its token stands for."""
        limits = [frozenset(filter(None, [name])) for name in (self.bundle, self.channel, self.org)]
        return Holder(f"the {self}", frozenset({self.role}), *limits)

    def expected(self, method: str, row: Row) -> str:
        """Return ``yes``, ``no``, or ``hidden`` for what is not there to it."""
        if self.role not in row.roles:
            return "no"
        reading = method == "GET" and row.roles == frozenset(ROLES)
        if reading:
            return "hidden" if self.org and row.org not in {"", self.org} else "yes"
        beyond = any(mine and getattr(row, kind) not in {"", mine} for kind in LIMITS if (mine := getattr(self, kind)))
        return "no" if beyond else "yes"


CALLERS = [
    *(Caller(role) for role in ROLES),
    *(Caller(role, **{kind: name}) for kind, names in LIMITS.items() for name in names for role in ROLES),
]


def make_stage(folder: Path) -> Stage:
    """Return a service in which each change would change something."""
    made = Stage(folder)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    risk = Risk("bad", "platform", VersionRange("9.x"), "m", WHY.given(made.clock.now()))
    made.services.declare_risk.declare(risk, WHY)
    made.services.freeze_fleet.freeze("everything", Scope(), WHY)
    made.services = replace(made.services, wrong_tokens=Throttle(Rate(10_000, timedelta(seconds=1))))
    return made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return one that nobody changes."""
    return make_stage(tmp_path_factory.mktemp("access"))


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API."""
    return documented_client(create_app(stage.services))


def bearer(stage: Stage, holder: Holder, **limits: Any) -> dict[str, str]:  # noqa: ANN401 - passes through
    """Return the header of a new token."""
    return {"Authorization": f"Bearer {stage.services.issue_token(holder, by=ADMIN, **{'expires': None, **limits})}"}


def ask(client: FlaskClient, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Make the table's request and return status and text."""
    body = None if method == "GET" else CHANGES[path].body
    with closing(client.open(API + path, method=method, json=body, headers=dict(headers))) as answer:
        return answer.status_code, answer.get_data(as_text=True)


def test_every_route_is_in_the_table(client: FlaskClient) -> None:
    """Whoever adds one says there who may call it."""
    urls = client.application.url_map
    there = {
        (method, rule.rule)
        for rule in urls.iter_rules()
        if rule.endpoint not in OPEN
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    matches = urls.bind("").match
    assert {
        (each, matches(API + path.partition("?")[0], each, return_rule=True)[0].rule) for each, path in ROWS
    } == there


@pytest.mark.parametrize(("method", "path"), ROWS, ids=IDS)
def test_each_role_may_what_the_table_says(
    request: pytest.FixtureRequest, tmp_path: Path, method: str, path: str
) -> None:
    """With and without limits: who may not leaves no trace; who may gets further, be it to a *no* of another kind."""
    stage: Stage = request.getfixturevalue("stage") if method == "GET" else make_stage(tmp_path)
    client = documented_client(create_app(stage.services))
    row = (READS if method == "GET" else CHANGES)[path]
    wanted = {caller: caller.expected(method, row) for caller in CALLERS}
    for caller in sorted(CALLERS, key=lambda each: wanted[each] == "yes"):
        headers, before = bearer(stage, caller.holder), stage.repo.read().base
        status, text = ask(client, method, path, headers)
        found = {403: "no", 404: "hidden"}.get(status, "yes") if method == "GET" else "no" if status == 403 else "yes"
        if path == "/webhooks/chat/deliveries" and found == "hidden":
            found = "yes"  # there is none of that name
        assert (found, str(caller)) == (wanted[caller], str(caller)), text
        if wanted[caller] != "yes":
            assert stage.repo.read().base == before


@pytest.mark.parametrize(("method", "path"), ROWS, ids=IDS)
def test_nobody_calls_without_a_token_that_counts(stage: Stage, client: FlaskClient, method: str, path: str) -> None:
    """None, a wrong one, one that expired, one that was revoked: not even an admin's."""
    token = stage.services.issue_token(ADA, expires=stage.clock.now(), by=ADMIN)
    revoked = bearer(stage, ADA)
    newest = stage.services.manage_tokens.list(by=ADMIN)
    for each in newest:
        stage.services.manage_tokens.revoke(each.id, by=ADMIN) if each.expires is None else None
    before = stage.repo.read().base
    shown: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer ums_wrong"},
        {"Authorization": f"Bearer {token}"},
        revoked,
    )
    assert [ask(client, method, path, headers)[0] for headers in shown] == [401] * 4
    assert stage.repo.read().base == before


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"admin"}))
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokens", {"subject": "eve", "groups": ["admin"]}),
        ("/roles", {"role": "admin", "subject": "eve", "reason": "x"}),
        ("/channels/stable/policy", {"policy": "schema: 1\n", "reason": "x"}),
    ],
)
def test_nobody_makes_himself_mightier(stage: Stage, client: FlaskClient, role: str, path: str, body: Any) -> None:  # noqa: ANN401 - any JSON value
    """With a token, a role, or a policy that asks less; a group named like a role is none."""
    for holder in (Holder("eve", frozenset({role})), Holder("eve", frozenset({role, "admins"}))):
        assert client.post(API + path, json=body, headers=bearer(stage, holder)).status_code == 403


def test_an_admin_with_limits_makes_nobody_mightier(stage: Stage, client: FlaskClient) -> None:
    """Neither by a token nor by a role, nor by the sum of two roles."""
    olga = bearer(stage, Holder("olga", frozenset({"admin", "viewer"}), orgs=frozenset({"acme"})))
    for path, body in (
        ("/tokens", {"subject": "olga", "groups": ["admin"], "orgs": ["acme"]}),
        ("/roles", {"role": "viewer", "subject": "olga", "reason": "x"}),
        ("/roles", {"role": "admin", "subject": "olga", "orgs": ["acme", "globex"], "reason": "x"}),
        ("/roles", {"role": "admin", "subject": "olga", "channels": ["edge"], "reason": "x"}),
    ):
        assert client.post(API + path, json=body, headers=olga).status_code == 403


# What other organizations are not told

HIDDEN = PDPName("zyxcorp", "qwvault")
LATE, MEMBER = PDPName("zyxcorp", "late"), PDPName("zyxcorp", "member")
SECRETS = ("zyxcorp", "qwvault")


def make_fleet(folder: Path) -> Stage:
    """Return a fleet in which another organization is in everything that there is."""
    stage = Stage(folder)
    do = stage.services
    for name in (PROD, HIDDEN, LATE, MEMBER):
        stage.add_plane(name, "edge", labels={"region": "eu"})
    stage.add_plane(PDPName("zyxcorp", "stage"), "stable")
    stage.publish("1.0.0")
    stage.promote("1.0.0")
    stage.hear(Health.HEALTHY, PROD, HIDDEN, LATE, MEMBER)
    do.reconcile()
    do.instruct.pin(LATE, Subject("platform"), None, WHY)
    stage.set_policy("edge", rollout={**AT_ONCE, "waves": [{"name": "all", "soak": "1h"}]})
    asked = {"adoption": {"healthy": "100%", "for": "0s"}, "approvals": {"required": 1, "groups": ["security"]}}
    stage.set_policy("stable", feeder="edge", rollout=AT_ONCE, gates=asked)
    stage.clock.advance(timedelta(minutes=1))
    stage.publish("1.1.0")
    stage.promote("1.1.0", "edge")
    stage.clock.advance(timedelta(minutes=1))
    stage.hear(Health.FAILED, HIDDEN)
    do.reconcile()
    new, platform = ReleaseName("platform", Version("1.1.0")), Subject("platform")
    sam = Holder("sam", frozenset({"viewer", "security", "zyxcorp-people"})).identity
    do.approve(new, to="stable", by=sam, reason="fine")
    stage.store.record_cluster(HIDDEN, Cluster(stage.clock.now(), stage.clock.now(), Facts(), ("r/zyxcorp",)))
    soon = Why(ADMIN, "a test", stage.clock.now() + timedelta(seconds=9))
    do.instruct.pin(HIDDEN, platform, None, soon)
    do.instruct.hold(HIDDEN, platform, None, soon)
    do.instruct.consent(HIDDEN, new, WHY)
    do.instruct.consent(PROD, new, WHY)
    risk = Risk("bad", "platform", VersionRange("1.1.0"), "m", WHY.given(stage.clock.now()))
    do.declare_risk.declare(risk, WHY)
    do.declare_risk.accept(HIDDEN, "bad", WHY)
    do.freeze_fleet.freeze("org-zyxcorp", Scope(org="zyxcorp"), soon)
    do.freeze_fleet.freeze("one", Scope(pdp=HIDDEN), WHY)
    do.instruct.roll_back(HIDDEN, platform, Version("1.0.0"), WHY)  # waits until it thaws
    do.freeze_fleet.freeze("gone-zyxcorp", Scope(org="zyxcorp"), WHY)
    do.freeze_fleet.thaw("gone-zyxcorp", WHY)
    do.freeze_fleet.freeze("ours", Scope(org="acme"), WHY)
    do.grant_roles.grant(Grant("viewer", orgs=frozenset({"zyxcorp"})), Grantee(GranteeKind.GROUP, "zyxcorp-all"), WHY)
    broken = Raw(b"channel: [\n")
    edit = Decision(
        "Mend zyxcorp", "-", "-", "-", stage.clock.now(), {f"fleet/{HIDDEN.org}/x/registration.yaml": broken}
    )
    stage.repo.commit(edit, base=stage.repo.read().base)
    do.issue_token(Holder("zyxcorp-own", frozenset({"viewer"}), orgs=frozenset({"zyxcorp"})), expires=None, by=ADMIN)
    stage.clock.advance(timedelta(seconds=8))
    return stage


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return it; nobody changes it."""
    return make_fleet(tmp_path_factory.mktemp("fleet"))


def questions(stage: Stage) -> Iterator[str]:
    """Yield everything that can be read, from the beginning."""
    first = stage.services.log(limit=500)[-1].commit_id
    for path in READS:
        yield path
    yield f"/events?after={first}&limit=1000"
    yield f"/stream?seconds=0&after={first}"
    yield "/log?limit=500"
    for folder in ("fleet", f"fleet/{HIDDEN.org}", f"fleet/{HIDDEN}", "freezes.yaml", layout.ACCESS):
        yield f"/log?limit=500&path={folder}"
    for path in (
        "/plan?channel=edge",
        "/pdps?org=zyxcorp",
        "/pdps?health=failed",
        "/channels/edge",
        "/channels/edge/rollouts",
    ):
        yield path
    for version in ("1.0.0", "1.1.0"):
        yield f"/releases/platform/{version}"
        yield f"/releases/platform/{version}/exposed"
        for channel in ("edge", "stable"):
            yield f"/channels/{channel}/gates?release=platform@{version}"


def answers_to(stage: Stage, holder: Holder) -> dict[str, str]:
    """Return every answer, by question."""
    client, headers = documented_client(create_app(stage.services)), bearer(stage, holder)
    return {path: ask(client, "GET", path, headers)[1] for path in questions(stage)}


def test_no_answer_names_another_organization(fleet: Stage) -> None:
    """To whoever is limited to one; to others, most of these do, or there would be nothing to see here."""
    told = answers_to(fleet, ADA)
    assert len([path for path, text in told.items() if any(each in text for each in SECRETS)]) > 20
    for role in ROLES:
        found = answers_to(fleet, Holder("olga", frozenset({role}), orgs=frozenset({"acme"})))
        for path, text in found.items():
            assert not [each for each in SECRETS if each in text], (role, path, text)


def test_what_is_ones_own_is_told(fleet: Stage) -> None:
    """All of it; and counts are of one's own."""
    client = documented_client(create_app(fleet.services))
    headers = bearer(fleet, Holder("olga", frozenset({"viewer"}), orgs=frozenset({"acme"})))

    def get(path: str) -> Any:  # noqa: ANN401 - any JSON value
        return client.get(API + path, headers=headers).get_json()

    assert [each["pdp"] for each in get("/pdps")["items"]] == [str(PROD)]
    assert get(PLANE)["consents"]
    assert get("/status")["dataPlanes"] == 1
    assert get("/status")["health"] == {"updating": 1}
    assert {each["name"] for each in get("/freezes")["items"]} == {"ours"}
    (rollout,) = get("/channels/edge/rollouts")["items"]
    assert (rollout["dataPlanes"], rollout["failed"], rollout["status"]) == (1, [], "halted")
    assert rollout["waves"][0]["targets"] == 1
    assert rollout["reason"] == "1 of 1 failed, more than 0: another organization's data plane"
    assert get("/releases/platform/1.1.0/exposed")["examples"] == [str(PROD)]
    assert [each["subject"] for each in get("/log?path=fleet")["items"]] == [
        "fleet/acme/prod: Consent platform",
        "fleet/acme/prod: Register",
    ]
    assert "fleet: Freeze org acme" in {each["subject"] for each in get("/log")["items"]}


def test_another_organizations_data_plane_is_not_there(fleet: Stage) -> None:
    """Whoever asks cannot tell it from one that nobody registered; the same with the list, the log and a freeze."""
    client = documented_client(create_app(fleet.services))
    headers = bearer(fleet, Holder("olga", frozenset({"operator"}), orgs=frozenset({"acme"})))

    def compare(method: str, path: str, body: object = None) -> tuple[int, int]:
        said = []
        for name in (str(HIDDEN), "nobody/nothing"):
            org, _, pdp = name.partition("/")
            asked = {key: str(value).format(name=name, org=org) for key, value in (body or {}).items()}  # type: ignore[attr-defined]
            answer = client.open(
                API + path.format(name=name, org=org), method=method, json=asked if body else None, headers=headers
            )
            text = answer.get_data(as_text=True).replace(name, "?").replace(org, "?").replace(pdp, "?")
            said.append((answer.status_code, text, dict(answer.headers).keys()))
        assert said[0] == said[1]
        return said[0][0], said[1][0]

    assert compare("GET", "/pdps/{name}") == (404, 404)
    assert compare("GET", "/pdps/{name}/explanation") == (404, 404)
    assert compare("GET", "/pdps/{name}/bootstrap") == (403, 403)
    assert compare("GET", "/pdps?org={org}") == (200, 200)
    assert compare("GET", "/log?path=fleet/{name}") == (200, 200)
    assert compare("POST", "/pdps/{name}/pins", {"subject": "platform", "reason": "x"}) == (403, 403)
    assert compare("POST", "/freezes", {"pdp": "{name}", "reason": "x"}) == (403, 403)
    assert compare("POST", "/freezes", {"org": "{org}", "reason": "x"}) == (403, 403)
    assert compare("POST", "/thaws", {"name": "org-{org}", "reason": "x", "dryRun": True}) == (200, 200)


def test_a_change_tells_no_more_than_a_question(tmp_path: Path) -> None:
    """What follows for others from what one does stays with them."""
    stage = make_fleet(tmp_path)
    client = documented_client(create_app(stage.services))
    headers = bearer(stage, Holder("olga", frozenset({"operator", "security"}), orgs=frozenset({"acme"})))
    stage.services.freeze_fleet.thaw("one", WHY)
    stage.clock.advance(timedelta(days=4))
    for path, body in (
        ("/thaws", {"name": "ours"}),
        ("/freezes", {"org": "acme"}),
        (f"{PLANE}/unpins", {"subject": "platform"}),
        ("/channels/stable/approvals", {"release": "platform@1.1.0"}),
    ):
        for dry_run in (True, False):
            sent = {**body, "reason": "x", "dryRun": dry_run}
            answer = client.post(API + path, json=sent, headers={**headers, "Idempotency-Key": f"{path}{dry_run}"})
            assert answer.status_code == 200, answer.get_json()
            assert not [each for each in SECRETS if each in answer.get_data(as_text=True)], path


def test_nobody_lifts_a_freeze_by_taking_its_name(tmp_path: Path) -> None:
    """Neither one on everything, nor one that is not his to see."""
    stage = make_fleet(tmp_path)
    stage.services.freeze_fleet.freeze("everything", Scope(), WHY)
    client = documented_client(create_app(stage.services))
    headers = bearer(stage, Holder("olga", frozenset({"operator"}), orgs=frozenset({"acme"})))
    for name, status in (("everything", 403), ("one", 409), ("ours", 200)):
        body = {"name": name, "org": "acme", "reason": "x"}
        assert client.post(f"{API}/freezes", json=body, headers=headers).status_code == status
    assert {"everything", "one"} <= {each.name for each in stage.world().freezes}


def test_an_answer_that_was_kept_is_for_the_same_reach(tmp_path: Path) -> None:
    """Two tokens of one subject, of which one sees less, do not get each other's."""
    stage = make_fleet(tmp_path)
    client = documented_client(create_app(stage.services))
    olga = Holder("olga", frozenset({"operator"}))
    path, body = f"{API}/thaws", {"name": "ours", "reason": "x", "dryRun": True}
    for holder in (olga, replace(olga, orgs=frozenset({"acme"}))):
        headers = {**bearer(stage, holder), "Idempotency-Key": "k"}
        answer = client.post(path, json=body, headers=headers)
        assert "Idempotency-Replayed" not in answer.headers


def test_metrics_are_for_who_sees_everything(fleet: Stage, client: FlaskClient) -> None:
    """They count the fleet, and nobody can cut them."""
    del client
    asked = documented_client(create_app(fleet.services))
    for orgs, status in ((frozenset[str](), 200), (frozenset({"acme"}), 403)):
        headers = bearer(fleet, Holder("prometheus", frozenset({"viewer"}), orgs=orgs))
        assert asked.get("/metrics", headers=headers).status_code == status


def test_routes_read_of_the_fleet_by_a_sight_alone() -> None:
    """So that one which forgets to filter has nothing to tell."""
    whole = {"record", "release_repo", "plan", "log"}
    found = [
        f"{path.name}:{node.lineno}: services.{node.attr}"
        for path in sorted(WEB.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in whole
        if (isinstance(node.value, ast.Name) and node.value.id == "services")
        or (isinstance(node.value, ast.Attribute) and node.value.attr == "services")
    ]
    assert not found


def test_nothing_is_concerned_by_what_is_not_there() -> None:
    """The table's names are those of the fleet that it is tried on."""
    for row in (*READS.values(), *CHANGES.values()):
        assert row.bundle in {"", ALL, "platform"}
        assert row.channel in {"", ALL, "stable", "edge"}
        assert row.org in {"", ALL, "acme"}

"""What each route answers, to whom, and that no request of any shape gets past it."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from tests.unit.web.documented import documented_client
from tests.unit.web.role_table import API, CHANGES
from ums.domain.fleet import Registration
from ums.domain.identity import Holder
from ums.domain.names import PDPName
from ums.web.app import create_app

NO_BODIES = [b"", b"{", b"null", b'{"unknown": 1}', b'{"\xff": 1}', b'{"subject": "\\ud800"}', b"[" * 100_000]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service with a data plane on 1.0.0."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0", notes="# New\n")
    made.promote("1.0.0")
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API, logged in as a viewer."""
    made = documented_client(create_app(stage.services))
    made.environ_base["HTTP_AUTHORIZATION"] = bearer(stage, "viewer")
    return made


def bearer(stage: Stage, *groups: str, bundles: frozenset[str] = frozenset()) -> str:
    """Return the authorization of a new token."""
    holder = Holder("somebody", frozenset(groups), bundles)
    return f"Bearer {stage.services.issue_token(holder, expires=None, by=ADMIN)}"


def as_role(stage: Stage, *groups: str) -> dict[str, str]:
    """Return the header of a role."""
    return {"Authorization": bearer(stage, *groups)}


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/info", {"version", "url", "registry", "plainHttp"}),
        ("/trust", {"signers", "bundles", "stateKeys"}),
        ("/status", {"channels", "health", "dataPlanes", "freezes", "expiring", "keysToPublish", "problems"}),
        ("/plan", {"moves", "withheld", "rollouts", "reasons"}),
        ("/plan?channel=stable", {"moves", "withheld", "rollouts", "reasons"}),
        ("/log", {"items", "next"}),
        ("/releases", {"items", "next"}),
        ("/releases/platform/1.0.0/diff", {"from", "to", "fixes", "lostFixes", "components"}),
        ("/floors", {"items"}),
        ("/releases/platform/1.0.0/exposed", {"release", "exposed", "examples"}),
        ("/channels", {"items"}),
        ("/channels/stable/gates?release=platform@1.0.0", {"channel", "release", "open", "gates"}),
        ("/channels/stable/rollouts", {"items"}),
        ("/freezes", {"items"}),
        ("/risks", {"items"}),
        ("/pdps", {"items", "next"}),
        (f"/pdps/{PROD}/explanation", {"pdp", "items"}),
        (f"/pdps/{PROD}/history", {"pdp", "items"}),
    ],
)
def test_reading_needs_no_more_than_a_viewer(client: FlaskClient, path: str, members: set[str]) -> None:
    """And the members are those that clients know."""
    answer = client.get(API + path)
    assert (answer.status_code, set(answer.get_json())) == (200, members)


def test_a_release_shows_what_is_in_it(client: FlaskClient) -> None:
    """By digest, with who signed it and where it is the head."""
    shown = client.get(f"{API}/releases/platform/1.0.0").get_json()
    assert (shown["release"], shown["signedBy"], shown["channels"]) == (
        "platform@1.0.0",
        ["release"],
        ["edge", "stable"],
    )
    assert {each["name"]: each["version"] for each in shown["components"]} == {"cilium": "1.0.0", "gateway": "1.0.0"}
    assert all(each["digest"].startswith("sha256:") for each in shown["components"])
    listed = client.get(f"{API}/releases?bundle=platform").get_json()["items"]
    assert [each["release"] for each in listed] == ["platform@1.0.0"]
    assert client.get(f"{API}/releases?bundle=other").get_json()["items"] == []


def test_a_diff_is_by_component(stage: Stage, client: FlaskClient) -> None:
    """From another release, or from nothing."""
    stage.publish("1.1.0", {"cilium": "1.0.0", "extra": "1.1.0"})
    shown = client.get(f"{API}/releases/platform/1.1.0/diff?from=1.0.0").get_json()
    changes = {each["component"]: each["change"] for each in shown["components"]}
    assert changes == {"cilium": "same", "extra": "added", "gateway": "removed"}
    from_nothing = client.get(f"{API}/releases/platform/1.0.0/diff").get_json()
    assert (from_nothing["from"], {each["change"] for each in from_nothing["components"]}) == (None, {"added"})


def test_a_data_plane_says_why_it_is_not_newer(stage: Stage, client: FlaskClient) -> None:
    """In words, with who can change it."""
    headers = as_role(stage, "operator")
    pin = {"subject": "platform", "versions": "1.0.0", "reason": "kernel module"}
    client.post(f"{API}/pdps/{PROD}/pins", json=pin, headers=headers)
    stage.publish("1.1.0")
    stage.promote("1.1.0")
    shown = client.get(f"{API}/pdps/{PROD}").get_json()
    (reason,) = shown["withheld"][0]["reasons"]
    who = f"an operator of {PROD.org} (ums unpin {PROD} platform --reason …)"
    assert (reason["code"], reason["who_can_override"]) == ("pinned", who)
    assert "kernel module" in reason["message"]
    assert client.get(f"{API}/plan").get_json()["withheld"] == shown["withheld"]
    assert client.get(f"{API}/pdps?channel=edge").get_json()["items"] == []


def test_a_decision_is_answered_with_what_follows(stage: Stage, client: FlaskClient) -> None:
    """The commit, the moves, and the serials to wait for."""
    body = {"pdp": "acme/new", "channel": "stable", "bundles": ["platform"]}
    headers = as_role(stage, "admin")
    dry = client.post(f"{API}/pdps", json={**body, "dryRun": True}, headers=headers)
    assert (dry.status_code, dry.get_json()["recorded"], dry.get_json()["commit"]) == (200, False, None)
    done = client.post(f"{API}/pdps", json=body, headers=headers)
    answer = done.get_json()
    assert (done.status_code, answer["recorded"]) == (201, True)
    assert answer["commit"] == stage.repo.read().base.main
    assert list(answer["serials"]) == ["acme/new"]
    assert [move["pdp"] for move in answer["moves"]] == ["acme/new"]


def test_a_promotion_is_recorded_and_the_loop_moves_the_data_planes(stage: Stage, client: FlaskClient) -> None:
    """The answer has gates and waves, and comes before anybody moves; a dry run counts and names them."""
    stage.publish("1.1.0")
    stage.promote("1.1.0", "edge")
    path, body, headers = f"{API}/channels/stable/promotions", {"release": "platform@1.1.0"}, as_role(stage, "admin")
    dry = client.post(path, json={**body, "dryRun": True}, headers=headers).get_json()
    assert (dry["recorded"], dry["promoted"], dry["first"]) == (False, True, [str(PROD)])
    assert [(wave["name"], wave["targets"]) for wave in dry["waves"]] == [("everyone", 1)]
    done = client.post(path, json=body, headers=headers).get_json()
    assert (done["recorded"], done["moves"], done["serials"], done["dataPlanes"]) == (True, [], {}, 1)
    assert {gate["verdict"] for gate in done["gates"]} == {"passed"}
    assert stage.running()["cilium"] == "1.0.0"
    stage.services.reconcile()
    assert stage.running()["cilium"] == "1.1.0"


def test_a_reason_is_told_once_for_all_whom_it_keeps(stage: Stage, client: FlaskClient) -> None:
    """With their number and some names, also where the reason names each of them."""
    for number in range(7):
        name = PDPName("acme", f"shy-{number}")
        stage.services.add_data_plane(Registration(name, "stable", ("platform",), ask=True), by=ADMIN)
    (reason,) = client.get(f"{API}/plan?channel=stable").get_json()["reasons"]
    assert (reason["code"], reason["count"], len(reason["examples"])) == ("consent", 7, 5)
    assert client.get(f"{API}/plan?channel=edge").get_json()["reasons"] == []


@pytest.mark.parametrize(
    ("scope", "answered"),
    [
        ({}, ("everything", "everything", 1)),
        ({"channel": "edge"}, ("channel-edge", "channel edge", 0)),
        ({"bundle": "platform", "org": "acme"}, ("bundle-platform-org-acme", "bundle platform, org acme", 1)),
        ({"pdp": str(PROD), "name": "mine"}, ("mine", "pdp acme/prod", 1)),
    ],
)
def test_a_freeze_is_named_after_its_scope(
    stage: Stage, client: FlaskClient, scope: dict[str, str], answered: tuple[str, str, int]
) -> None:
    """And says how many data planes it stops."""
    body = {**scope, "reason": "incident"}
    answer = client.post(f"{API}/freezes", json=body, headers=as_role(stage, "operator")).get_json()
    assert (answer["name"], answer["covers"], answer["dataPlanes"]) == answered
    assert [each["name"] for each in client.get(f"{API}/freezes").get_json()["items"]] == [answered[0]]


@pytest.mark.parametrize(("until", "end"), [(None, None), ("2026-11-23T14:00:00Z", "2026-11-23T14:00:00Z")])
def test_a_frozen_rollout_promises_no_end(
    stage: Stage, client: FlaskClient, until: str | None, end: str | None
) -> None:
    """Unless the freeze has one."""
    body = {"reason": "incident", **({"until": until} if until else {})}
    assert client.post(f"{API}/freezes", json=body, headers=as_role(stage, "operator")).status_code == 200
    (rollout,) = client.get(f"{API}/channels/stable/rollouts?bundle=platform").get_json()["items"]
    assert (rollout["status"], rollout["earliest"]) == ("running", end)
    assert [each["code"] for each in rollout["stoppedBy"]] == ["frozen"]


def test_a_rollout_has_five_steps_and_no_others(stage: Stage, client: FlaskClient) -> None:
    """What is none is the caller's mistake."""
    path = f"{API}/channels/stable/rollouts/platform"
    answer = client.post(f"{path}/destroy", json={"reason": "x"}, headers=as_role(stage, "admin"))
    assert (answer.status_code, answer.get_json()["hint"]) == (
        400,
        "its steps: pause, resume, cancel, retry, next",
    )
    paused = client.post(f"{path}/pause", json={"reason": "x"}, headers=as_role(stage, "admin")).get_json()
    assert paused["rollout"]["status"] == "paused"


def test_what_is_known_of_a_data_plane_at_registration_is_kept(stage: Stage, client: FlaskClient) -> None:
    """Its place in waves, whether it is asked, and its versions, without a vendor's suffix."""
    body = {"pdp": "acme/new", "channel": "stable", "bundles": ["platform"], "wariness": 0.5, "volunteer": True}
    more = {"ask": True, "kubernetes": "v1.34.1+k3s1", "flux": "2.9.2"}
    assert client.post(f"{API}/pdps", json={**body, **more}, headers=as_role(stage, "admin")).status_code == 201
    shown = client.get(f"{API}/pdps/acme/new").get_json()
    assert shown["facts"] == {"kubernetes": "1.34.1", "flux": "2.9.2"}
    assert (shown["wariness"], shown["volunteer"], shown["ask"]) == (0.5, True, True)
    wrong = client.post(f"{API}/pdps", json={**body, "wariness": 2}, headers=as_role(stage, "admin"))
    assert wrong.status_code == 400


def test_values_are_kept_as_they_were_sent(stage: Stage, client: FlaskClient) -> None:
    """With ``null``, which means something to Helm; what says nothing of values leaves them, an empty object goes."""
    stage.publish("1.1.0", charts=["cilium"])
    path, headers = f"{API}/pdps/{PROD}", as_role(stage, "admin")

    def change(**fields: Any) -> TestResponse:  # noqa: ANN401 - any JSON value
        return client.post(f"{path}/registration", json={"reason": "x", **fields}, headers=headers)

    values = {"platform": {"cilium": {"gone": None, "list": [None, {"b": 1, "a": 0.5}]}}}
    assert change(values=values).status_code == 400, "it is sealed"
    assert change(values=values, sealed=False).status_code == 200
    assert client.get(path).get_json()["values"] == values
    assert change(labels={"a": "b"}).status_code == 200
    assert client.get(path).get_json()["values"] == values
    assert client.get(f"{path}/bootstrap", headers=headers).status_code == 409
    assert change(sealed=True).status_code == 400
    assert change(values={"platform": {"cilium": {"a": 2**60}}}).status_code == 400
    assert change(values={"platform": {"cilium": {"a": "x" * 65536}}}).status_code == 400
    assert change(values={"platform": {"gateway": {"a": 1}}}).status_code == 400
    assert change(values={}, sealed=True).status_code == 200
    found = client.get(path).get_json()
    assert (found["values"], found["sealed"]) == ({}, True)
    namespace = client.get(f"{path}/bootstrap", headers=headers).get_json()["objects"][0]
    assert namespace["metadata"]["annotations"]["ums/sealed"] == "true"
    assert client.get(f"{path}/bootstrap?unsealed=true", headers=headers).status_code == 409
    assert change(sealed=False).status_code == 200
    namespace = client.get(f"{path}/bootstrap?unsealed=true", headers=headers).get_json()["objects"][0]
    assert namespace["metadata"]["annotations"]["ums/sealed"] == "false"


def test_a_cluster_that_is_too_old_is_not_connected(stage: Stage, client: FlaskClient) -> None:
    """It is refused with every reason, and what changes it."""
    path, headers = f"{API}/pdps/{PROD}", as_role(stage, "admin")
    old = {"kubernetes": "1.29.1", "flux": "2.8.0", "reason": "x"}
    assert client.post(f"{path}/registration", json=old, headers=headers).status_code == 200
    answer = client.get(f"{path}/bootstrap", headers=headers)
    assert (answer.status_code, answer.get_json()["type"]) == (409, "urn:ums:error:refused")
    assert [each["code"] for each in answer.get_json()["blockedBy"]] == ["requires-kubernetes", "requires-flux"]


@pytest.mark.parametrize("bundle", ["", "UPPER", "a/b", "x" * 41])
def test_a_registration_that_could_not_be_read_is_refused(stage: Stage, client: FlaskClient, bundle: str) -> None:
    """The data plane would be gone for everybody, with the file."""
    headers, body = as_role(stage, "admin"), {"bundles": [bundle], "reason": "x"}
    assert client.post(f"{API}/pdps/{PROD}/registration", json=body, headers=headers).status_code == 400
    body = {"pdp": "acme/new", "channel": "edge", "bundles": [bundle]}
    assert client.post(f"{API}/pdps", json=body, headers=headers).status_code == 400
    assert client.get(f"{API}/status").get_json()["problems"] == []


def test_a_refusal_lists_every_reason(stage: Stage, client: FlaskClient) -> None:
    """RFC 9457, and machines can read why."""
    stage.publish("0.9.0")
    answer = client.post(
        f"{API}/channels/stable/promotions", json={"release": "platform@0.9.0"}, headers=as_role(stage, "admin")
    )
    body = answer.get_json()
    assert (answer.status_code, body["type"]) == (409, "urn:ums:error:refused")
    assert [each["code"] for each in body["blockedBy"]] == ["gate-feeder", "gate-order"]


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/log?limit=0", 400, "limit"),
        ("/log?limit=501", 400, "limit"),
        ("/log?limit=x", 400, "limit"),
        ("/releases/platform/nonsense", 400, "semantic version"),
        ("/releases/platform/9.9.9", 404, "platform@9.9.9"),
        ("/releases/platform/1.0.0/diff?from=9.9.9", 404, "9.9.9"),
        ("/releases/platform/9.9.9/exposed", 404, "9.9.9"),
        ("/channels/none", 404, "none"),
        ("/channels/none/rollouts", 404, "none"),
        ("/channels/stable/gates", 400, "release: Field required"),
        ("/channels/stable/gates?release=platform", 400, "does not name a release"),
        ("/channels/stable/rollouts?bundles=platform", 400, "bundles"),
        ("/channels?limit=1", 400, "no query parameters"),
        ("/pdps?health=fine", 400, "health"),
        ("/pdps?cursor=nonsense", 400, "cursor"),
        ("/releases?cursor=YQ==", 400, "cursor"),
        ("/log?cursor=YTox", 404, "no commit"),
        ("/log?cursor=YTp4", 400, "cursor"),
        ("/channels/none/gates?release=platform@1.0.0", 404, "none"),
        ("/plan?channel=none", 404, "none"),
        ("/pdps/acme/none/explanation", 404, "acme/none"),
        ("/pdps/acme/none/history", 404, "acme/none"),
        ("/pdps/acme/UPPER", 400, "UPPER"),
        ("/pdps/acme/none", 404, "acme/none"),
        ("/no-such-route", 404, "not found"),
    ],
)
def test_a_wrong_question_is_a_problem_document(client: FlaskClient, path: str, status: int, says: str) -> None:
    """Also where no route is."""
    answer = client.get(API + path)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert says in answer.get_json()["title"]


@pytest.mark.parametrize("path", CHANGES)
def test_a_body_that_is_none_is_the_callers_mistake(stage: Stage, client: FlaskClient, path: str) -> None:
    """400, whatever it is: never a stack trace, and nothing recorded."""
    before, headers = stage.repo.read().base, as_role(stage, "admin")
    for content in NO_BODIES:
        answer = client.post(API + path, data=content, headers=headers)
        assert (answer.status_code, answer.content_type) == (400, "application/problem+json"), content[:40]
    assert stage.repo.read().base == before


def signed_event(stage: Stage, client: FlaskClient, content: bytes) -> TestResponse:
    """Send an event as the data plane does."""
    credentials = stage.services.bootstrap_data_plane.credentials.credentials(PROD, generation=1)
    signature = hmac.new(credentials.event_key.encode(), content, hashlib.sha256).hexdigest()
    return client.post(f"{API}/pdps/{PROD}/events", data=content, headers={"X-Signature": f"sha256={signature}"})


@pytest.mark.parametrize(
    "content",
    [*NO_BODIES, b"{}", b"[]", b"7", b'{"involvedObject": {"kind": "\\ud800"}}'],
    ids=lambda content: repr(content)[:20],
)
def test_an_event_that_is_none_is_the_senders_mistake(stage: Stage, client: FlaskClient, content: bytes) -> None:
    """Although it is signed: a data plane is not ours."""
    assert signed_event(stage, client, content).status_code == 400
    assert not stage.store.reports()


def test_an_event_is_cut_off_before_it_is_checked(stage: Stage, client: FlaskClient) -> None:
    """Anybody can send one."""
    answer = client.post(f"{API}/pdps/{PROD}/events", data=b"x" * (1 << 20), headers={"X-Signature": "sha256=0"})
    assert answer.status_code == 413
    assert not stage.store.reports()


def test_a_token_ends(stage: Stage, client: FlaskClient) -> None:
    """As it was told when it was issued; what it may do is written beside it."""
    expires = (stage.clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"subject": "ci", "groups": ["viewer"], "expires": expires}
    answer = client.post(f"{API}/tokens", json=body, headers=as_role(stage, "admin"))
    headers = {"Authorization": f"Bearer {answer.get_json()['token']}"}
    assert client.get(f"{API}/plan", headers=headers).status_code == 200
    stage.clock.advance(timedelta(hours=1))
    assert client.get(f"{API}/plan", headers=headers).status_code == 401


def test_health_asks_for_nothing_and_readiness_for_what_is_needed(stage: Stage, client: FlaskClient) -> None:
    """Without a database the service is alive, but not ready."""
    del client.environ_base["HTTP_AUTHORIZATION"]
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    with stage.store._database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE reports")
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "fail")

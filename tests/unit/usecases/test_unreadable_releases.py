"""A release that cannot be read is reported, and nothing else stops for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import ADMIN, PROD, Stage
from tests.unit.web.role_table import API
from ums.domain import layout
from ums.domain.errors import ConflictError
from ums.domain.fleet import Health
from ums.domain.identity import Holder
from ums.domain.release import ReleaseName
from ums.domain.version import Version
from ums.domain.world import Decision, Raw
from ums.web.app import create_app

Change = Callable[[bytes], bytes]
ROUTES = ("/status", "/plan", "/releases", "/channels", "/pdps", f"/pdps/{PROD}", f"/pdps/{PROD}/explanation", "/log")
BROKEN: dict[str, tuple[str, Change | None]] = {
    "images of odd types": ("release.json", lambda content: content.replace(b'"images":[', b'"images":[1,null,')),
    "a member too many": ("release.json", lambda content: content.replace(b"{", b'{"Components":[],', 1)),
    "other spelling": ("release.json", lambda content: content + b"\n"),
    "no JSON": ("release.json", lambda _: b"{"),
    "endless": ("release.json", lambda _: b"[" * 100_000),
    "a number without bounds": ("release.json", lambda content: content.replace(b":120,", b":1e308,")),
    "gone": ("release.json", None),
    "a list": ("status.yaml", lambda _: b"- 1\n"),
    "signers of odd types": ("status.yaml", lambda content: content.replace(b"signedBy:", b"signedBy: [1, null]\nx:")),
    "signers in one text": ("status.yaml", lambda content: content.replace(b"signedBy:", b"signedBy: abc\nx:")),
    "yanked by a number": ("status.yaml", lambda content: content.replace(b"yanked: ''", b"yanked: 5")),
    "an hour that is none": ("status.yaml", lambda content: content.replace(b"registeredAt: '2", b"registeredAt: '92")),
}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service with a data plane that is well on 1.0.0; 1.1.0 is in the catalog."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    made.hear(Health.HEALTHY, PROD)
    made.publish("1.1.0")
    return made


def break_release(stage: Stage, version: str, file: str, change: Change | None) -> None:
    """Change a file of the catalog, as somebody could with Git."""
    path = f"catalog/platform/{version}/{file}"
    before = stage.repo.file(layout.MAIN, path)
    assert before is not None
    after = change(before) if change else None
    assert after != before
    decision = Decision("x", "x", "x", "x", stage.clock.now(), {path: None if after is None else Raw(after)})
    stage.repo.commit(decision, base=stage.repo.read().base)


def client(stage: Stage) -> FlaskClient:
    """Return a client of the API, logged in as a viewer."""
    made = create_app(stage.services).test_client()
    token = stage.services.issue_token(Holder("somebody", frozenset({"viewer"})), expires=None, by=ADMIN)
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return made


@pytest.mark.parametrize(("file", "change"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_one_bad_release_stops_nothing_else(stage: Stage, version: str, file: str, change: Change | None) -> None:
    """Whether data planes run it or not: it is named as a problem, every answer comes, and garbage is collected."""
    needed = stage.repo.read().released_digests()
    break_release(stage, version, file, change)
    stage.services.reconcile()
    world = stage.repo.read()
    assert [problem.file for problem in world.problems] == [f"catalog/platform/{version}/{file}"]
    if file == "release.json":
        assert world.released_digests() >= needed, "what its other files say that it needs"
    assert world.holds_unread("ums/platform/cilium")
    http = client(stage)
    assert {route: http.get(API + route).status_code for route in ROUTES} == dict.fromkeys(ROUTES, 200)
    assert f"catalog/platform/{version}/{file}" in str(http.get(f"{API}/status").json["problems"])  # type: ignore[index] # it is an object
    stage.publish("1.2.0")
    assert Version("1.2.0") in stage.world().catalog["platform"]


def test_a_bad_release_is_not_replaced_by_another_of_its_version(stage: Stage) -> None:
    """It is there, although nobody can read it: versions never change."""
    digest = stage.world().entry("platform", Version("1.1.0")).digest
    break_release(stage, "1.1.0", "release.json", lambda _: b"{")
    with pytest.raises(ConflictError, match="cannot be read"):
        stage.services.register_release(ReleaseName("platform", Version("1.1.0")), digest, by=ADMIN)

"""Long lists: in pages, filtered, and not sent twice."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.usecases.stage import ADA, ADMIN, PROD, Stage
from tests.unit.web.documented import documented_client
from ums.domain.fleet import Health
from ums.domain.names import PDPName
from ums.web.app import create_app

API = "/api/v1"
NAMES = [f"{org}/{pdp}" for org in ("acme", "zenith") for pdp in ("dev", "prod", "test")]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service with six data planes and three releases."""
    made = Stage(tmp_path)
    for name in NAMES:
        made.add_plane(PDPName.parse(name), channel="edge" if name.endswith("dev") else "stable")
    for version in ("1.0.0", "1.10.0", "1.9.0"):
        made.publish(version)
    return made


@pytest.fixture
def client(stage: Stage) -> FlaskClient:
    """Return a client of its API."""
    made = documented_client(create_app(stage.services))
    token = stage.services.issue_token(ADA, expires=None, by=ADMIN)
    made.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return made


def pages(client: FlaskClient, path: str) -> list[list[dict[str, Any]]]:
    """Return all pages."""
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = ""
    while cursor is not None:
        data = client.get(f"{API}{path}&cursor={cursor}").get_json()
        found.append(data["items"])
        cursor = data["next"]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
def test_pages_are_the_whole_list(client: FlaskClient, limit: int) -> None:
    """In order, nothing twice, and no empty page at the end."""
    found = pages(client, f"/pdps?limit={limit}")
    assert [each["pdp"] for items in found for each in items] == NAMES
    assert {len(items) for items in found[:-1]} <= {limit}
    assert found[-1]


def test_releases_are_paged_by_version(client: FlaskClient) -> None:
    """Newest first, as versions are compared."""
    found = pages(client, "/releases?limit=1")
    assert [each["version"] for items in found for each in items] == ["1.10.0", "1.9.0", "1.0.0"]


def test_a_log_that_grows_moves_no_page(stage: Stage, client: FlaskClient) -> None:
    """A cursor stands for what led to the commit of the first page."""
    whole = [each["commit"] for each in client.get(f"{API}/log").get_json()["items"]]
    first = client.get(f"{API}/log?limit=2").get_json()
    stage.add_plane(PROD.parse("acme/new"))
    second = client.get(f"{API}/log?limit=2&cursor={first['next']}").get_json()
    assert [each["commit"] for each in (*first["items"], *second["items"])] == whole[:4]
    assert [each["commit"] for items in pages(client, "/log?limit=4") for each in items][1:] == whole


def test_a_page_ends_where_its_last_item_was(stage: Stage, client: FlaskClient) -> None:
    """Also when that no longer fits the filter."""
    first = client.get(f"{API}/pdps?limit=1&health=unknown").get_json()
    stage.promote("1.0.0")
    stage.hear(Health.HEALTHY, PDPName.parse(first["items"][0]["pdp"]))
    stage.clock.advance(timedelta(seconds=1))
    second = client.get(f"{API}/pdps?limit=1&cursor={first['next']}").get_json()
    assert [each["pdp"] for each in second["items"]] == [NAMES[1]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("channel=edge", ["acme/dev", "zenith/dev"]),
        ("org=zenith", NAMES[3:]),
        ("org=zenith&channel=edge", ["zenith/dev"]),
        ("bundle=platform&org=acme", NAMES[:3]),
        ("bundle=flux", []),
        ("health=unknown", NAMES),
        ("health=failed", []),
    ],
)
def test_data_planes_are_filtered(client: FlaskClient, query: str, found: list[str]) -> None:
    """By each of four, and by several."""
    items = client.get(f"{API}/pdps?{query}").get_json()["items"]
    assert [each["pdp"] for each in items] == found


@pytest.mark.parametrize("path", ["/pdps", "/releases", "/log", "/status", "/channels/stable", f"/pdps/{PROD}"])
def test_what_is_known_is_not_sent_again(stage: Stage, client: FlaskClient, path: str) -> None:
    """Until it changes."""
    first = client.get(API + path)
    known = {"If-None-Match": first.headers["ETag"]}
    again = client.get(API + path, headers=known)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    stage.promote("1.0.0")
    assert client.get(API + path, headers=known).status_code == 200


def test_secrets_have_no_tag(client: FlaskClient) -> None:
    """Nobody keeps them, so nobody asks whether they changed."""
    answers = [
        client.get(f"{API}/pdps/{PROD}/bootstrap"),
        client.post(f"{API}/tokens", json={"subject": "x", "groups": ["viewer"]}),
        client.post(f"{API}/webhooks", json={"name": "chat", "url": "https://example.com"}),
    ]
    for answer in answers:
        assert answer.status_code < 300
        assert (answer.headers["Cache-Control"], "ETag" in answer.headers) == ("no-store", False)

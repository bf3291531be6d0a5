"""What a request may cost: the worst input that is accepted – or refused – of everything that evaluates, in CPU time.

``HTTP`` has a row for every route, and ``EVALUATORS`` one for every function behind a route or at the edge whose work
its input decides. A new route or command of the edge needs a row. ``pytest -rP`` prints the figures.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.unit.domain.test_graph import Rules, make_graph
from tests.unit.usecases.stage import ADMIN, Stage
from tests.unit.web.role_table import CHANGES, READS
from ums.adapters import _yaml
from ums.adapters._release_files import parse_policy
from ums.bootstrap import _basic
from ums.domain import calendars, version, windows
from ums.domain.errors import UmsError
from ums.domain.hiding import hide
from ums.domain.identity import Holder
from ums.domain.instants import parse_duration, parse_instant
from ums.domain.policy import MAX_POLICY_BYTES
from ums.domain.values import MAX_VALUES_BYTES, check_values
from ums.domain.version import Version, VersionRange
from ums.domain.webhooks import Webhook
from ums.edge import upload_pack
from ums.edge.registry_messages import RefusalError, Request
from ums.edge.routes import registry_route, view_route
from ums.edge.upload_pack import ProtocolError, line, parse
from ums.edge.view_http import is_view
from ums.web import openapi
from ums.web.app import create_app
from ums.web.requests import MAX_BODY_BYTES

LIMIT = 0.050
"""Seconds of CPU, on a machine that does ``reference`` in ``REFERENCE``."""
REFERENCE = 0.035
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)  # a year ahead reaches into three local years
NAME = "a" * 300
CURSOR = "?cursor=" + base64.urlsafe_b64encode(b"a" * 225).decode()
PATHS = "a/" * 999
ANY_ID = "0123456789abcdef" * 18

HTTP: dict[str, tuple[str, ...]] = {
    "/info": (),
    "/whoami": (),
    "/trust": (),
    "/keys": ("?number=1000000",),
    "/status": (),
    "/plan": (f"?channel={NAME}", "?channel=stable"),
    "/log": (f"?limit=500&path={PATHS}", CURSOR, "?cursor=" + base64.urlsafe_b64encode(b":" + b"9" * 220).decode()),
    "/events": (f"?limit=1000&after={ANY_ID}",),
    "/stream": (f"?seconds=0&after={ANY_ID}",),
    "/insights": ("?since=999999999d&share=100", f"?since={'9' * 300}", f"?channel={NAME}"),
    "/releases": (CURSOR, f"?bundle={NAME}"),
    "/releases/platform/1.0.0": (),
    "/releases/platform/1.0.0/diff": (f"?from=1.0.0-{'a.' * 50}a", f"?from={NAME}"),
    "/releases/platform/1.0.0/exposed": (),
    "/channels": (),
    "/channels/stable": (),
    "/channels/stable/gates": ("?release=platform@1.0.0", f"?release={'a@' * 150}"),
    "/channels/stable/rollouts": (f"?bundle={NAME}",),
    "/floors": (),
    "/freezes": (),
    "/risks": (),
    "/pdps": (CURSOR, f"?channel={NAME}&org={NAME}&bundle={NAME}"),
    "/pdps/acme/prod": (),
    "/pdps/acme/prod/explanation": (f"?bundle={NAME}",),
    "/pdps/acme/prod/history": ("?limit=500",),
    "/pdps/acme/prod/bootstrap": (f"?reporterImage={NAME}&reporter=true",),
    "/roles": (),
    "/tokens": (),
    "/webhooks": (),
    "/webhooks/chat/deliveries": ("?limit=500",),
    "/audit": (f"?since={NAME}&subject={NAME}",),
    "/audit/export": (CURSOR,),
}
"""Each route that reads, with the longest parameters that it takes. Routes with a body get ``BODIES``."""

BODIES = {
    "unknown members": "{" + ",".join(f'"a{number}":1' for number in range(openapi._MAX_MEMBERS)) + "}",
    "too many members": '{"labels":[' + "1," * (MAX_BODY_BYTES // 2 - 20) + "1]}",
    "nested": "[" * (MAX_BODY_BYTES - 1),
    "a long number": '{"reason":' + "9" * (MAX_BODY_BYTES - 20) + "}",
    "a long text": '{"reason":"' + "\\u0000" * (MAX_BODY_BYTES // 6 - 20) + '"}',
    "the same member": "{" + ",".join(['"reason":"x"'] * 9_999) + "}",
}


@dataclass(frozen=True)
class Measured:
    """CPU time that something took, the best of some, and how it ended."""

    seconds: float
    ended: str


def measure(work: Callable[[], object], *, before: Callable[[], object] = lambda: None, times: int = 3) -> Measured:
    """Return what something takes: the best of some, so that a busy machine does not count."""
    best, ended = float("inf"), ""
    for _ in range(times):
        before()
        start = time.thread_time()
        try:
            ended = f"{work()!r:.60}"
        except (UmsError, ProtocolError, RefusalError) as error:
            ended = f"refused: {error!s:.60}"
        best = min(best, time.thread_time() - start)
    return Measured(best, ended)


def reference() -> int:
    """Do a fixed piece of work: what it takes says how fast this machine is now."""
    return len({f"{number:x}": number for number in range(100_000)})


def limit() -> float:
    """Return the limit in seconds of CPU here and now: more than ``LIMIT`` where a core is slower, or shared."""
    return LIMIT * max(1.0, measure(reference).seconds / REFERENCE)


def report(name: str, found: Measured) -> None:
    """Print a figure."""
    print(f"{found.seconds * 1000:8.2f} ms  {name}: {found.ended}")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a service with a data plane and a release."""
    made = Stage(tmp_path)
    made.add_plane()
    made.publish("1.0.0")
    made.promote("1.0.0")
    return made


@pytest.fixture
def viewer(stage: Stage) -> FlaskClient:
    """Return a client that may only read."""
    holder = Holder("vic", frozenset({"viewer"}))
    client = create_app(stage.services).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {stage.services.issue_token(holder, expires=None, by=ADMIN)}"
    return client


def bare(path: str) -> str:
    """Return a path without its query."""
    return path.partition("?")[0]


def test_every_route_that_reads_has_a_row() -> None:
    """Whoever adds a route says what its worst parameters are."""
    assert set(HTTP) == {bare(path) for path in READS}


@pytest.mark.parametrize("path", sorted(HTTP))
def test_no_parameter_costs_much(viewer: FlaskClient, path: str) -> None:
    """Whether it is accepted or refused."""
    for query in HTTP[path] or ("",):
        url = f"/api/v1{path}{query}"
        found = measure(lambda url=url: viewer.get(url).status_code)  # type: ignore[misc]
        report(url[:70], found)
        assert found.seconds < LIMIT or found.seconds < limit()


@pytest.mark.parametrize("body", sorted(BODIES))
def test_no_body_costs_much(viewer: FlaskClient, body: str) -> None:
    """A body is read before it is known whether the route is for whoever asks."""
    for path in sorted(CHANGES):
        found = measure(lambda path=path: viewer.post(f"/api/v1{path}", data=BODIES[body]).status_code, times=2)  # type: ignore[misc]
        report(f"{path} {body}", found)
        assert found.ended in {"400", "403"}
        assert found.seconds < LIMIT or found.seconds < limit()


def test_what_is_wrong_is_told_in_short(viewer: FlaskClient) -> None:
    """An answer does not repeat a body of a quarter of a megabyte."""
    answer = viewer.post("/api/v1/freezes", data=BODIES["unknown members"])
    assert answer.status_code == 400
    assert len(answer.data) < 3000


def forget() -> None:
    """Empty the caches of calendars and ranges: the first question costs most."""
    for module in (windows, calendars, version):
        for each in vars(module).values():
            if hasattr(each, "cache_clear"):
                each.cache_clear()


def evaluated(policy: str) -> str:
    """Read a policy and do what lint does with its windows."""
    found = parse_policy(policy.encode(), "policy.yaml")
    for schedule in (found.gates.windows, found.windows):
        schedule.next_opening(NOW)
    return f"accepted, {len(policy)} bytes"


def policy_of(allow: list[str], deny: list[str]) -> str:
    """Return a policy with windows in both of its places."""
    lines = ["timezone: America/New_York"]
    for kind, given in (("allow", allow), ("deny", deny)):
        lines += [f"{kind}:", *(f"  - {{{each}}}" for each in given)] if given else []
    once = "".join(f"  {each}\n" for each in lines)
    return "windows:\n" + once + "gates:\n  windows:\n" + "".join(f"    {each}\n" for each in lines)


def denied(often: list[str]) -> str:
    """Return a policy that never opens in the year ahead, so that the whole year is looked at."""
    always = 'cron: "0 0 * * 1", duration: 8d'
    return policy_of([f"{each}, duration: 1m" for each in often], [always])


WINDOWS = {
    "daily windows": denied([f'cron: "{number} {number} * * *"' for number in range(2)]),
    "weekly windows": denied([f'cron: "{number} {number % 24} * * {number % 7}"' for number in range(17)]),
    "rules with long intervals": denied(
        [
            f"rrule: FREQ=DAILY;INTERVAL={12 + number % 5};WKST=SU, start: '20{number:02}-01-01T02:{number:02}'"
            for number in range(29)
        ]
    ),
    "rules that start late": denied(
        [
            f"rrule: FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29, start: '20{number:02}-03-01T02:{number:02}'"
            for number in range(31)
        ]
    ),
    "rules with positions": denied(
        [
            f"rrule: 'FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS={number % 3 + 1}', start: '2001-01-01T02:{number:02}'"
            for number in range(31)
        ]
    ),
    "rules with a count": denied(
        [
            f"rrule: FREQ=MONTHLY;COUNT={90 + number % 20}, start: '20{number:02}-01-01T02:{number:02}'"
            for number in range(31)
        ]
    ),
    "rules without a day": denied(["rrule: FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30, start: '2026-01-01T02:00'"]),
    "hourly windows": denied([f'cron: "{number} * * * *"' for number in range(31)]),
    "too many windows": denied([f'cron: "{number % 60} 1 1 1 *"' for number in range(300)]),
}
WORST_YAML = {
    "aliases": "x: &a [" + "a," * 8000 + "]\ny: [" + "*a," * 40 + "]\n",
    "merges": "x: &a {" + ",".join(f"a{number}: b" for number in range(900)) + "}\ny: {<<: [" + "*a," * 40 + "]}\n",
    "unknown fields": "".join(f"a{number}: 1\n" for number in range(1000)),
    "a whole number with colons": "x: !!int " + "1:" * 8000 + "1\n",
    "a time that is none": "x: !!timestamp " + "1" * 16000 + "\n",
    "anchors": "x: [" + ",".join(f"&a{number} a" for number in range(1000)) + "]\n",
    "waves": "rollout: {waves: [" + ",".join(f"{{name: a{number}}}" for number in range(900)) + "]}\n",
    "labels": "rollout: {waves: [{name: a, labels: {" + ",".join(f"a{n}: b" for n in range(1000)) + "}}]}\n",
    "a long text": 'description: "' + "\\u0041" * 2600 + '"\n',
}
ID = b"a" * 40
LINES = upload_pack._MAX_LINES
FETCHES = {
    "wants": (line(b"want " + ID) * (LINES - 2) + b"0000", 0),
    "haves": (line(b"want " + ID) + b"0000" + line(b"have " + ID) * (LINES - 3) + line(b"done"), 0),
    "flushes": (b"0000" * (1 << 18), 0),
    "prefixes": (line(b"command=ls-refs") + b"0001" + line(b"ref-prefix ") * (LINES - 3) + b"0000", 2),
    "capabilities": (line(b"command=fetch") + line(b"agent=") * 100_000 + b"0000", 2),
}
RANGES = {
    "alternatives": "||".join(["<9"] * 16),
    "too many alternatives": "||".join(["x"] * 42),
    "a long preview": "^1.2.3-" + "a." * 55 + "a",
    "digits": "9" * 128,
}
CHAIN = {
    f"1.{number}.0": Rules(takes=f">=1.{number - 1}.0 <1.{number}.0 || 0.1.x || 0.2.x || ~0.3" if number else None)
    for number in range(100)
}


def registry_request(path: str, query: str = "", **headers: str) -> object:
    """Read a request to the registry as the edge does."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, **headers}
    request = Request(environ)
    return request.tags, request.part(100, '"x"'), request.has_already('"x"')


def in_one_range(text: str) -> int:
    """Ask a range for a hundred versions."""
    found = VersionRange(text)
    return sum(Version(f"1.{number}.0-rc.{number}") in found for number in range(100))


EVALUATORS: dict[str, Callable[[], object]] = {
    **{f"policy: {name}": (lambda text=text: evaluated(text)) for name, text in WINDOWS.items()},  # type: ignore[misc]
    **{f"yaml: {name}": (lambda text=text: evaluated(text)) for name, text in WORST_YAML.items()},  # type: ignore[misc]
    **{f"fetch: {name}": (lambda asked=asked: parse(*asked)) for name, asked in FETCHES.items()},  # type: ignore[misc]
    **{f"range: {name}": (lambda text=text: in_one_range(text)) for name, text in RANGES.items()},  # type: ignore[misc]
    "graph: a chain of 100 releases": lambda: make_graph(CHAIN).path(Version("1.0.0"), Version("1.99.0")),
    "values: as many as go": lambda: check_values({"a": {"b": {"x": [0] * (MAX_VALUES_BYTES // 2 - 8)}}}),
    "hiding: names": lambda: hide("a/a " * 500, ["x"]),
    "hiding: dashes": lambda: hide("a-" * 900 + "/ fleet/" + "a/" * 90, ["x"]),
    "duration": lambda: parse_duration("9" * 40),
    "instant": lambda: parse_instant("9" * 300),
    "webhook: address": lambda: Webhook("a", "https://[" + ":" * 1900 + "]/", "whsec_"),
    "basic: login": lambda: _basic("Basic " + base64.b64encode(b":" * 48_000).decode()),
    "view: address": lambda: (is_view("/" + "a/" * 30_000), view_route("/info/" * 10_000)),
    "registry: address": lambda: registry_route("/v2/" + "/manifests/" * 5_000 + "/"),
    "registry: name": lambda: registry_request("/v2/" + "a-" * 30_000 + "/manifests/a"),
    "registry: tags": lambda: registry_request("/v2/a/blobs/sha256:a", "tag=a&" * 5_000),
    "registry: range": lambda: registry_request("/v2/a/blobs/a", HTTP_RANGE="bytes=" + "1-2," * 10_000),
    "registry: etags": lambda: registry_request("/v2/a/blobs/a", HTTP_IF_NONE_MATCH='W/"",' * 10_000),
}
"""What is behind the routes, or at the edge, where nobody may be known yet."""


@pytest.mark.parametrize("name", sorted(EVALUATORS))
def test_no_input_costs_much(name: str) -> None:
    """The worst that is accepted, and worse that is refused; nothing is remembered from before."""
    found = measure(EVALUATORS[name], before=forget)
    report(name, found)
    assert found.seconds < LIMIT or found.seconds < limit()


def random_policies(seed: int, count: int) -> Iterator[str]:
    """Yield policies that fill their limits with whatever comes."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets

    def rule() -> str:
        parts = [f"FREQ={chance.choice(['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'])}"]
        for name, values in (
            ("INTERVAL", range(1, 1000)),
            ("BYMONTH", range(1, 13)),
            ("BYMONTHDAY", range(-31, 32)),
            ("BYYEARDAY", range(-366, 367)),
            ("BYWEEKNO", range(1, 54)),
            ("COUNT", range(1, 1000)),
        ):
            if chance.random() < 0.3:
                parts.append(f"{name}={chance.choice([value for value in values if value])}")
        return f"rrule: {';'.join(parts)}, start: '20{chance.randrange(100):02}-01-01T0{chance.randrange(10)}:00'"

    def cron() -> str:
        minute, hour = chance.randrange(60), chance.randrange(24)
        return f'cron: "{minute} {hour} */{chance.randint(1, 31)} * */{chance.randint(1, 7)}"'

    for _ in range(count):
        yield denied([chance.choice([rule, cron])() for _ in range(chance.randint(1, 31))])


def test_no_random_policy_costs_much() -> None:
    """A seeded search for one that does."""
    found = [(measure(lambda text=text: evaluated(text), before=forget), text) for text in random_policies(16, 60)]  # type: ignore[misc]
    worst, text = max(found, key=lambda each: each[0].seconds)
    report("the worst of 60 random policies", worst)
    assert worst.seconds < LIMIT or worst.seconds < limit(), text


def test_without_the_limits_the_same_costs_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each limit is what keeps its evaluator short: taken away, the same input is accepted and costs more."""
    monkeypatch.setattr(windows, "MAX_STARTS", float("inf"))
    monkeypatch.setattr(windows, "MAX_WINDOWS", float("inf"))
    hourly = measure(EVALUATORS["policy: hourly windows"], before=forget, times=1)
    monkeypatch.setattr(_yaml, "_BYTES_PER_NODE", MAX_POLICY_BYTES / 1e9)
    aliases = measure(EVALUATORS["yaml: aliases"], before=forget, times=1)
    monkeypatch.setattr(upload_pack, "_MAX_LINES", float("inf"))
    fetch = measure(EVALUATORS["fetch: flushes"], times=1)
    for name, each in {"windows": hourly, "YAML": aliases, "fetch": fetch}.items():
        report(f"{name} without limits", each)
        assert each.seconds > limit()
    assert "accepted" in hourly.ended


def test_without_the_limit_of_members_a_body_costs_much(viewer: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of the same size, with as many members as go into it."""
    body = "{" + ",".join(f'"{number:x}":1' for number in range(28_000)) + "}"
    kept = measure(lambda: viewer.post("/api/v1/freezes", data=body).status_code)
    monkeypatch.setattr(openapi, "_MAX_MEMBERS", float("inf"))
    without = measure(lambda: viewer.post("/api/v1/freezes", data=body).status_code)
    report("28,000 members", kept)
    report("28,000 members without the limit", without)
    assert 3 * kept.seconds < without.seconds

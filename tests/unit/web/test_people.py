"""People log in at a real issuer, over real HTTP, as a browser does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Response
from joserfc.jwk import ECKey
from werkzeug.serving import make_server

from tests.oidc_issuer import ADA, CLIENT_ID, CLIENT_SECRET, Claims, Issuer
from tests.processes import eventually, free_port
from tests.unit.usecases.stage import ADMIN, Stage
from ums.adapters.oidc_provider import OIDCProvider
from ums.domain import issuers
from ums.domain.access import Grantee, GranteeKind
from ums.domain.identity import Grant, Holder
from ums.domain.security_log import SecurityKind
from ums.domain.sessions import IDLE, LIFETIME, PATIENCE
from ums.domain.throttling import Rate, Throttle
from ums.usecases.instruct import Why
from ums.web.app import create_app

FREEZE = {"reason": "a test"}
STAFF = Grantee(GranteeKind.GROUP, "staff")


@dataclass
class Site:
    """A service that listens, the issuer that it believes, and what it is made of."""

    stage: Stage
    issuer: Issuer

    @property
    def url(self) -> str:
        """Return where it listens."""
        return self.stage.url

    def log_in(self, browser: requests.Session, next_path: str = "/api/v1/whoami") -> requests.Response:
        """Follow a login to its end."""
        return browser.get(f"{self.url}/auth/login", params={"next": next_path}, timeout=10)

    def leave(self, browser: requests.Session) -> str:
        """Follow a login up to the way back from the issuer, and return that."""
        there = browser.get(f"{self.url}/auth/login", timeout=10, allow_redirects=False).headers["Location"]
        return browser.get(there, timeout=10, allow_redirects=False).headers["Location"]

    def whoami(self, browser: requests.Session) -> requests.Response:
        """Ask who somebody is."""
        return browser.get(f"{self.url}/api/v1/whoami", timeout=10)

    def change(self, browser: requests.Session, **headers: str) -> requests.Response:
        """Ask for a change, by default as a page of the service does."""
        csrf = {"X-CSRF-Token": self.whoami(browser).json().get("csrfToken") or "", "Origin": self.url}
        sent = {name: value for name, value in {**csrf, **headers}.items() if value}
        return browser.post(f"{self.url}/api/v1/freezes", json=FREEZE, headers=sent, timeout=10)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a service where staff are admins."""
    yield from serving(tmp_path)


def serving(folder: Path, **settings: object) -> Iterator[Site]:
    """Serve."""
    port = free_port()
    with Issuer() as issuer:
        wanted = replace(issuers.Issuer(issuer.url, CLIENT_ID, CLIENT_SECRET), **settings)  # type: ignore[arg-type]
        database = f"sqlite:///{folder}/ums.db"  # of all threads
        stage = Stage(folder, provider=OIDCProvider(wanted), url=f"http://127.0.0.1:{port}", database=database)
        issuer.now = lambda: stage.clock.now().timestamp()
        stage.services.grant_roles.grant(Grant("admin"), STAFF, Why(ADMIN, "a test"))
        many = Throttle(Rate(1000, timedelta(seconds=1)))
        stage.services = replace(stage.services, login_attempts=many)
        server = make_server("127.0.0.1", port, create_app(stage.services), threaded=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield Site(stage, issuer)
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    """Give a browser."""
    with requests.Session() as made:
        yield made


def title_of(answer: requests.Response) -> str:
    """Return what a problem says."""
    return str(answer.json()["title"])


def test_somebody_logs_in_and_is_known(site: Site, browser: requests.Session) -> None:
    """By the name and groups of the ID token, until the session ends."""
    assert site.whoami(browser).status_code == 401
    answer = site.log_in(browser)
    assert (answer.status_code, urlsplit(answer.url).path) == (200, "/api/v1/whoami")
    known = answer.json()
    assert (known["subject"], known["by"], known["groups"]) == (
        "ada@example.com",
        "session",
        ["security", "staff"],
    )
    assert known["expires"] == "2026-11-23T13:00:00Z"
    assert answer.headers["Cache-Control"] == "no-store"
    assert browser.get(f"{site.url}/api/v1/status", timeout=10).status_code == 200


def test_the_cookie_is_out_of_reach(site: Site, browser: requests.Session) -> None:
    """Of scripts, of other sites, and of plain HTTP wherever there is HTTPS."""
    back = site.leave(browser)
    answer = browser.get(back, timeout=10, allow_redirects=False)
    cookies = {each.partition("=")[0]: each for each in answer.raw.headers.getlist("Set-Cookie")}
    assert set(cookies) == {"ums", "ums-login"}
    assert "Max-Age=0" in cookies["ums-login"]
    for mark in ("HttpOnly", "SameSite=Lax", "Path=/"):
        assert mark in cookies["ums"]
    assert "Secure" not in cookies["ums"]
    assert "Domain" not in cookies["ums"]


def test_with_https_the_cookie_is_of_this_host_alone(tmp_path: Path) -> None:
    """As browsers grant to such names. The redirect URI is the service's, whatever a client calls it."""
    with Issuer() as issuer:
        provider = OIDCProvider(issuers.Issuer(issuer.url, CLIENT_ID, CLIENT_SECRET))
        client = create_app(Stage(tmp_path, provider=provider, url="https://ums.example.com").services).test_client()
        answer = client.get("/auth/login", base_url="https://evil.example.com")
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-ums-login=")
        assert "Secure" in cookie
        query = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert query["redirect_uri"] == ["https://ums.example.com/auth/callback"]


def test_without_https_nobody_logs_in_from_elsewhere(tmp_path: Path) -> None:
    """The session would be anybody's who listens."""
    with Issuer() as issuer:
        provider = OIDCProvider(issuers.Issuer(issuer.url, CLIENT_ID, CLIENT_SECRET))
        client = create_app(Stage(tmp_path, provider=provider, url="http://ums.example.com").services).test_client()
        assert client.get("/auth/login").status_code == 403
        assert not issuer.asked


def test_without_an_issuer_nobody_logs_in(tmp_path: Path) -> None:
    """And it is said."""
    client = create_app(Stage(tmp_path).services).test_client()
    answer = client.get("/auth/login")
    assert (answer.status_code, "no issuer is set" in answer.json["title"]) == (404, True)  # type: ignore[index]


def test_a_group_called_as_a_role_grants_nothing(site: Site, browser: requests.Session) -> None:
    """Whoever names groups at the issuer makes no admins."""
    site.issuer.person = {**ADA, "groups": ["admin", "viewer", "security"]}
    known = site.log_in(browser).json()
    assert (known["roles"], known["permissions"], known["groups"]) == ([], [], ["security"])
    assert browser.get(f"{site.url}/api/v1/status", timeout=10).status_code == 403


def test_what_git_grants_and_takes_counts_at_once(site: Site, browser: requests.Session) -> None:
    """A session holds who somebody is, not what they may."""
    known, do = site.log_in(browser).json(), site.stage.services.grant_roles
    assert known["roles"] == [{"role": "admin", "bundles": [], "channels": [], "orgs": []}]
    assert site.change(browser).status_code == 200
    do.revoke(Grant("admin"), STAFF, Why(ADMIN, "a test"))
    assert site.change(browser).status_code == 403
    do.grant(Grant("viewer", orgs=frozenset({"acme"})), STAFF, Why(ADMIN, "a test"))
    known = site.whoami(browser).json()
    assert (known["roles"][0]["orgs"], known["permissions"]) == (["acme"], ["read"])


FORGED: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another nonce": (lambda claims: {**claims, "nonce": "x"}, "nonce"),
    "no nonce": (lambda claims: {name: each for name, each in claims.items() if name != "nonce"}, "nonce"),
    "another audience": (lambda claims: {**claims, "aud": "other"}, "aud"),
    "another party": (lambda claims: {**claims, "azp": "other"}, "azp"),
    "many audiences": (lambda claims: {**claims, "aud": ["other", CLIENT_ID]}, "azp"),
    "another issuer": (lambda claims: {**claims, "iss": "https://evil.example.com"}, "another issuer"),
    "a list of issuers": (lambda claims: {**claims, "iss": [claims["iss"]]}, "another issuer"),
    "expired": (lambda claims: {**claims, "exp": claims["exp"] - 400, "iat": claims["iat"] - 800}, "expired"),
    "no expiry": (lambda claims: {name: each for name, each in claims.items() if name != "exp"}, "exp"),
    "of the future": (lambda claims: {**claims, "iat": claims["iat"] + 3600}, "future"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_an_id_token_that_does_not_hold_logs_nobody_in(site: Site, browser: requests.Session, kind: str) -> None:
    """Signed by the issuer or not."""
    site.issuer.change, says = FORGED[kind]
    answer = site.log_in(browser)
    assert answer.status_code == 401
    assert says in title_of(answer)
    assert site.whoami(browser).status_code == 401
    site.issuer.change = dict
    assert site.log_in(browser).status_code == 200


@pytest.mark.parametrize("kind", ["unsigned", "signed_with_public_key", "another key", "two keys"])
def test_only_a_signature_of_the_issuer_counts(site: Site, browser: requests.Session, kind: str) -> None:
    """Neither none, nor one by what everybody knows, nor one by a key that calls itself as the issuer's."""
    if "key" in kind and " " in kind:
        mine = Issuer()
        mine.keys = [ECKey.generate_key("P-256", {"kid": "first" if kind == "another key" else "mine"})]
        site.issuer.sign = mine.signed
        mine.stop()
    else:
        site.issuer.sign = getattr(site.issuer, kind)
    answer = site.log_in(browser)
    assert answer.status_code == 401
    assert "does not hold" in title_of(answer)
    assert site.issuer.asked.get("/jwks", 0) <= 2


def test_the_issuer_may_take_new_keys(site: Site, browser: requests.Session) -> None:
    """Of another kind, too; but made-up names do not make us ask for keys all the time."""
    assert site.log_in(browser).status_code == 200
    assert site.log_in(browser).status_code == 200
    assert site.issuer.asked["/jwks"] == 1
    site.issuer.keys.append(ECKey.generate_key("P-256", {"kid": "second"}))
    provider = site.stage.services.log_in.provider
    assert isinstance(provider, OIDCProvider)
    assert provider._keys is not None
    provider._keys = (provider._keys[0] - 31, provider._keys[1])
    assert site.log_in(browser).status_code == 200
    assert site.issuer.asked["/jwks"] == 2


def test_a_login_is_of_the_browser_that_began_it(site: Site, browser: requests.Session) -> None:
    """Nobody is logged in as somebody else by a link."""
    back = site.leave(browser)
    with requests.Session() as victim:
        assert victim.get(back, timeout=10).status_code == 401
        site.leave(victim)
        answer = victim.get(back, timeout=10)
        assert (answer.status_code, "not begun in this browser" in title_of(answer)) == (401, True)
        assert "ums" not in victim.cookies
    assert browser.get(back, timeout=10).status_code == 200


def test_a_login_counts_once(site: Site, browser: requests.Session) -> None:
    """Not even in the browser that began it, and whatever the issuer says."""
    back = site.leave(browser)
    cookie = browser.cookies["ums-login"]
    assert browser.get(back, timeout=10).status_code == 200
    answer = requests.get(back, cookies={"ums-login": cookie}, timeout=10)
    assert (answer.status_code, "through before" in title_of(answer)) == (401, True)


def test_a_code_counts_once(site: Site, browser: requests.Session) -> None:
    """One that was used by somebody else, or has another verifier, is worth nothing."""
    first, second = site.leave(browser), site.leave(browser)
    stolen = second.replace(parse_qs(urlsplit(second).query)["code"][0], parse_qs(urlsplit(first).query)["code"][0])
    answer = browser.get(stolen, timeout=10)
    assert (answer.status_code, "invalid_grant" in title_of(answer)) == (401, True)


def test_a_login_takes_only_so_long(site: Site, browser: requests.Session) -> None:
    """Then it is to be begun anew."""
    back = site.leave(browser)
    site.stage.clock.advance(PATIENCE)
    answer = browser.get(back, timeout=10)
    assert (answer.status_code, "too long" in title_of(answer)) == (401, True)


def test_what_the_issuer_says_no_to_is_told(site: Site, browser: requests.Session) -> None:
    """In its words, which are few."""
    state = parse_qs(urlsplit(site.leave(browser)).query)["state"][0]
    query = {"state": state, "error": "access_denied", "error_description": "<b>x</b>"}
    answer = browser.get(f"{site.url}/auth/callback", params=query, timeout=10)
    assert (answer.status_code, title_of(answer)) == (401, "the issuer did not log you in: access_denied")


@pytest.mark.parametrize(
    "path", ["https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "x", "", "/\t/evil", "/a\r\nb"]
)
def test_a_login_leads_nowhere_else(site: Site, browser: requests.Session, path: str) -> None:
    """Only to paths of the service."""
    answer = browser.get(f"{site.url}/auth/login", params={"next": path}, timeout=10, allow_redirects=False)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_a_login_leads_where_somebody_wanted(site: Site, browser: requests.Session) -> None:
    """With its query."""
    answer = site.log_in(browser, "/api/v1/log?limit=1")
    assert (answer.status_code, answer.url) == (200, f"{site.url}/api/v1/log?limit=1")


def test_a_change_needs_a_page_of_ours(site: Site, browser: requests.Session) -> None:
    """With the session's own token, which other pages cannot read, and from here."""
    site.log_in(browser)
    assert site.change(browser).status_code == 200
    for headers in (
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert site.change(browser, **headers).status_code == 403, headers
    assert site.change(browser, **{"Origin": "", "Sec-Fetch-Site": "same-origin"}).status_code == 200
    with requests.Session() as other:
        site.log_in(other)
        foreign = site.whoami(other).json()["csrfToken"]
    assert site.change(browser, **{"X-CSRF-Token": foreign}).status_code == 403


def test_a_token_needs_no_page(site: Site) -> None:
    """No browser sends it by itself; and it counts alone, even beside a session."""
    token = site.stage.services.issue_token(Holder("ci", frozenset({"viewer"})), expires=None, by=ADMIN)
    with requests.Session() as both:
        site.log_in(both)
        both.headers["Authorization"] = f"Bearer {token}"
        known = site.whoami(both).json()
        assert (known["subject"], known["by"], known["csrfToken"], known["expires"]) == ("ci", "token", None, None)
        assert known["permissions"] == ["read"]
        answer = both.post(f"{site.url}/api/v1/freezes", json=FREEZE, timeout=10)
        assert (answer.status_code, title_of(answer)) == (403, "ci may not operate")
        both.headers["Authorization"] = "Bearer ums_wrong"
        assert site.whoami(both).status_code == 401


def test_whoami_says_when_a_token_ends(site: Site) -> None:
    """Its own end."""
    ends = site.stage.clock.now() + timedelta(days=1)
    site.stage.services.issue_token(Holder("x", frozenset({"viewer"})), expires=None, by=ADMIN)
    token = site.stage.services.issue_token(Holder("ci", frozenset({"viewer"})), expires=ends, by=ADMIN)
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{site.url}/api/v1/whoami", headers=headers, timeout=10).json()["expires"] == (
        "2026-11-24T12:00:00Z"
    )


def test_a_session_of_before_is_not_taken_over(site: Site, browser: requests.Session) -> None:
    """Whoever plants a cookie knows no session by it; and whoever logs in anew ends the one before."""
    browser.cookies.set("ums", "planted", domain="127.0.0.1", path="/")
    site.log_in(browser)
    first = browser.cookies.get("ums", domain="127.0.0.1")
    assert first != "planted"
    site.log_in(browser)
    assert browser.cookies.get("ums", domain="127.0.0.1") != first
    for old in ("planted", first):
        answer = requests.get(f"{site.url}/api/v1/whoami", cookies={"ums": str(old)}, timeout=10)
        assert answer.status_code == 401


def test_a_session_that_nobody_uses_ends(site: Site, browser: requests.Session) -> None:
    """And so does one that began long ago, however much it is used."""
    site.log_in(browser)
    site.stage.clock.advance(IDLE)
    assert site.whoami(browser).status_code == 401
    site.log_in(browser)
    for _ in range(LIFETIME // (IDLE / 2) - 1):
        site.stage.clock.advance(IDLE / 2)
        assert site.whoami(browser).status_code == 200
    assert site.whoami(browser).json()["expires"] == "2026-11-24T01:00:00Z"
    site.stage.clock.advance(IDLE / 2)
    answer = site.whoami(browser)
    assert (answer.status_code, title_of(answer)) == (401, "the session is over")


def test_logging_out_ends_the_session(site: Site, browser: requests.Session) -> None:
    """For whoever kept its cookie, too; and no other page can do it."""
    site.log_in(browser)
    kept = str(browser.cookies["ums"])
    assert browser.post(f"{site.url}/auth/logout", timeout=10).status_code == 403
    headers = {"X-CSRF-Token": site.whoami(browser).json()["csrfToken"], "Origin": site.url}
    answer = browser.post(f"{site.url}/auth/logout", headers=headers, timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"subject": "ada@example.com", "loggedOut": True})
    assert "ums" not in browser.cookies
    assert requests.get(f"{site.url}/api/v1/whoami", cookies={"ums": kept}, timeout=10).status_code == 401


def test_logins_are_told_to_the_security_log(site: Site, browser: requests.Session) -> None:
    """Who came and went, and who was turned away; never a secret."""
    site.log_in(browser)
    secret = str(browser.cookies["ums"])
    site.change(browser, Origin="https://evil.example.com")
    headers = {"X-CSRF-Token": site.whoami(browser).json()["csrfToken"], "Origin": site.url}
    browser.post(f"{site.url}/auth/logout", headers=headers, timeout=10)
    site.issuer.person = {"sub": "u-2"}
    site.log_in(browser)
    told = site.stage.services.security.log.newest(limit=9)
    assert [(each.kind, each.subject) for each in reversed(told)] == [
        (SecurityKind.LOGIN, "ada@example.com"),
        (SecurityKind.PERMISSION_DENIED, "ada@example.com"),
        (SecurityKind.LOGOUT, "ada@example.com"),
        (SecurityKind.AUTHENTICATION_FAILED, ""),
        (SecurityKind.PERMISSION_DENIED, ""),
    ]
    assert secret not in str(told)


def test_a_token_has_no_session_to_end(site: Site) -> None:
    """It is revoked."""
    token = site.stage.services.issue_token(Holder("ci", frozenset({"viewer"})), expires=None, by=ADMIN)
    answer = requests.post(f"{site.url}/auth/logout", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 400


def test_without_the_issuer_tokens_and_sessions_go_on(site: Site, browser: requests.Session) -> None:
    """A login says what does not answer."""
    site.log_in(browser)
    token = site.stage.services.issue_token(Holder("ci", frozenset({"viewer"})), expires=None, by=ADMIN)
    with requests.Session() as other:
        back = site.leave(other)
        site.issuer.stop()
        answer = other.get(back, timeout=10)
        assert (answer.status_code, site.issuer.url in title_of(answer)) == (503, True)
        assert CLIENT_SECRET not in answer.text
    assert site.whoami(browser).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{site.url}/api/v1/status", headers=headers, timeout=10).status_code == 200


def test_an_issuer_that_hangs_holds_up_nobody_else(site: Site) -> None:
    """A few wait for it, and no more: the others need the process."""
    answered = Event()

    def hang() -> Response:
        answered.wait(30)
        return Response(status=500)

    with requests.Session() as fifth, ThreadPoolExecutor(4) as pool:
        fifth_back = site.leave(fifth)
        backs = []
        for _ in range(4):
            waiting = requests.Session()
            backs.append((waiting, site.leave(waiting)))
        site.issuer.answers[TOKEN] = hang
        try:
            found = [pool.submit(each.get, back, timeout=30) for each, back in backs]
            eventually(lambda: site.issuer.asked.get(TOKEN) == 4, timeout=20, what="four wait for the issuer")
            answer = fifth.get(fifth_back, timeout=10)
            assert (answer.status_code, "many wait" in title_of(answer)) == (503, True)
        finally:
            answered.set()
        assert [each.result().status_code for each in found] == [503] * 4
        site.issuer.answers.clear()
        assert site.log_in(fifth).status_code == 200
        for each, _ in backs:
            each.close()


DISCOVERY, TOKEN = "/.well-known/openid-configuration", "/token"
BROKEN: dict[str, tuple[str, Callable[[], Response]]] = {
    "no JSON": (DISCOVERY, lambda: Response("<html>")),
    "no object": (DISCOVERY, lambda: Response("[]")),
    "nested": (DISCOVERY, lambda: Response("[" * 100_000)),
    "another issuer": (DISCOVERY, lambda: Response('{"issuer": "https://evil.example.com"}')),
    "a redirect": (DISCOVERY, lambda: Response(status=302, headers={"Location": "/moved"})),
    "an error": (DISCOVERY, lambda: Response("{}", status=500)),
    "a token error": (TOKEN, lambda: Response("{}", status=500)),
    "a token page": (TOKEN, lambda: Response("<html>")),
    "a token redirect": (TOKEN, lambda: Response(status=307, headers={"Location": "http://127.0.0.1:1/"})),
    "no keys": ("/jwks", lambda: Response("{}")),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_issuer_that_answers_as_none_is_unavailable(site: Site, browser: requests.Session, kind: str) -> None:
    """However it goes wrong; afterwards it is asked again."""
    path, answer = BROKEN[kind]
    site.issuer.answers[path] = answer
    said = site.log_in(browser)
    assert said.status_code == 503, said.text
    assert title_of(said).startswith(f"the issuer {site.issuer.url}") or "calls itself" in title_of(said)
    site.issuer.answers.clear()
    assert site.log_in(browser).status_code == 200


def test_what_the_issuer_answers_has_an_end(site: Site, browser: requests.Session) -> None:
    """However right the rest of it is."""
    whole = requests.get(site.issuer.url + DISCOVERY, timeout=10).content
    site.issuer.answers[DISCOVERY] = lambda: Response(whole + b" " * (512 * 1024))
    assert site.log_in(browser).status_code == 503
    site.issuer.answers[DISCOVERY] = lambda: Response(whole + b" " * 1024)
    assert site.log_in(browser).status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [("jwks_uri", "http://evil.example.com/jwks"), ("token_endpoint", "file:///etc/passwd"), ("jwks_uri", None)],
)
def test_what_the_issuer_names_must_be_https_too(
    site: Site, browser: requests.Session, endpoint: str, url: str | None
) -> None:
    """Or on this machine."""
    found = requests.get(site.issuer.url + DISCOVERY, timeout=10).json()
    site.issuer.answers[DISCOVERY] = lambda: Response(json.dumps({**found, endpoint: url}))
    answer = site.log_in(browser)
    assert (answer.status_code, endpoint in title_of(answer)) == (503, True)


@pytest.mark.parametrize(
    "person",
    [
        {"sub": "u-2"},
        {**ADA, "email_verified": False},
        {**ADA, "email_verified": "true"},
        {**ADA, "email": "a\nb@example.com"},
        {**ADA, "email": "Ada <ada@example.com>"},
        {**ADA, "email": "x" * 201},
        {**ADA, "email": 7},
    ],
)
def test_an_address_counts_only_if_it_is_verified(site: Site, browser: requests.Session, person: Claims) -> None:
    """And nothing else in its place: whoever had two names would approve twice."""
    site.issuer.person = person
    answer = site.log_in(browser)
    assert (answer.status_code, title_of(answer)) == (403, "the issuer names no verified email of yours")


def test_people_may_be_called_by_another_claim(tmp_path: Path, browser: requests.Session) -> None:
    """Such as the one that never changes; and groups come from where they are."""
    for site in serving(tmp_path, subject_claim="sub", groups_claim="https://example.com/groups"):
        site.issuer.person = {"sub": "u-2", "https://example.com/groups": "staff", "groups": ["x"]}
        known = site.log_in(browser).json()
        assert (known["subject"], known["groups"]) == ("u-2", ["staff"])


def test_domains_may_be_limited(tmp_path: Path, browser: requests.Session) -> None:
    """To those of verified addresses."""
    for site in serving(tmp_path, allowed_domains=frozenset({"example.com"}), subject_claim="sub"):
        assert site.log_in(browser).status_code == 200
        for email in ("ada@evil.com", "ada@example.com.evil.com", "example.com", None):
            site.issuer.person = {**ADA, "email": email}
            assert site.log_in(browser).status_code == 403
        site.issuer.person = {**ADA, "email_verified": False}
        assert site.log_in(browser).status_code == 403


def test_logins_are_not_asked_for_too_often(tmp_path: Path) -> None:
    """From one address; and it is said when to come again."""
    stage = Stage(tmp_path)
    client = create_app(stage.services).test_client()
    codes = [client.get("/auth/login").status_code for _ in range(21)]
    assert codes == [404] * 20 + [429]
    answer = client.get("/auth/callback")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "6")
    assert client.get("/auth/login", environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 404
    stage.clock.advance(timedelta(seconds=6))
    assert client.get("/auth/login").status_code == 404


def test_wrong_tokens_are_not_tried_too_often(tmp_path: Path) -> None:
    """From one address; a right one is let in always, since others may be behind the same address."""
    stage = Stage(tmp_path)
    client = create_app(stage.services).test_client()
    wrong = {"Authorization": "Bearer ums_wrong"}
    codes = [client.get("/api/v1/status", headers=wrong).status_code for _ in range(31)]
    assert codes == [401] * 30 + [429]
    answer = client.get("/api/v1/whoami", headers=wrong)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
    assert answer.json["type"] == "urn:ums:error:too-many-requests"  # type: ignore[index]
    token = stage.services.issue_token(Holder("ci", frozenset({"viewer"})), expires=None, by=ADMIN)
    right = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/status", headers=right).status_code == 200
    assert client.get("/api/v1/status").status_code == 401

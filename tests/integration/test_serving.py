"""A service as its settings want it: on PostgreSQL, with TLS, and without a traceback when the database is gone."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.processes import Process, eventually, free_port
from tests.unit.test_config import make_certificate
from ums.config import Settings

ROOT = Path(__file__).parent.parent.parent
PASSWORD = "correct horse"  # noqa: S105 - of a key that lives for a test
_COMMAND = [sys.executable, "-m", "ums"]


class Site:
    """A data folder whose service.yaml names everything."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        self.url = f"https://localhost:{(port := free_port())}"
        self.postgres = postgres
        make_certificate(self.data)
        (self.data / "password").write_text(postgres.password)
        (self.data / "service.yaml").write_text(
            f"listen: localhost:{port}\n"
            "trustedProxies: 1\n"
            f"database:\n  url: {postgres.create_database()}\n  passwordFile: password\n"
            "tls:\n  certFile: tls.crt\n  keyFile: tls.key\n"
        )
        self.ums("keys", "generate", str(folder / "release.key"))
        self.token = ""

    def init(self, *, code: int = 0) -> None:
        """Make the data."""
        key = str(self.folder / "release.pub")
        made = self.ums("init", str(self.data), "--url", self.url, "--release-key", key, "-o", "json", code=code)
        self.token = "" if code else json.loads(made.stdout)["token"]

    def env(self) -> dict[str, str]:
        """Return what every command runs in."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "UMS_KEY_PASSWORD": PASSWORD}

    def ums(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command that ends with a code."""
        done = subprocess.run(
            [*_COMMAND, *arguments], env=self.env(), capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def serve(self) -> Process:
        """Start the service."""
        return Process([*_COMMAND, "serve", str(self.data)], log=self.folder / "serve.log", env=self.env())

    def get(self, path: str, **headers: str) -> str:
        """Return what the service answers, by a connection that trusts nothing but its certificate."""
        context = ssl.create_default_context(cafile=str(self.data / "tls.crt"))
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - ours
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310 - ours
            return str(answer.read().decode())


@pytest.fixture
def site(tmp_path: Path, postgres: Postgres) -> Site:
    """Give a site that was initialized."""
    made = Site(tmp_path, postgres)
    made.init()
    return made


def status_of(call: Callable[[], object]) -> int:
    """Return the status of a refusal."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        call()
    with caught.value as error:
        return error.code


def test_a_service_on_postgresql_with_tls(site: Site) -> None:
    """The token that init made is there; when the database goes, requests fail politely, and then work again."""
    bearer = {"Authorization": f"Bearer {site.token}"}
    settings = Settings.from_env({"UMS_DATA": str(site.data)})
    assert not (site.data / "ums.db").exists()
    with site.serve() as process:
        process.wait_until(lambda: site.get("/healthz"))
        assert json.loads(site.get("/api/v1/channels", **bearer))["items"]
        make_certificate(site.data)
        assert site.get("/healthz"), "a renewed certificate is served to whoever connects from now on"
        name = settings.database.partition("@/")[2].partition("?")[0]
        with site.postgres.connect() as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'".encode())  # noqa: S608
            assert status_of(lambda: site.get("/api/v1/channels", **bearer)) == 503
            basic = {"Authorization": "Basic eDp5"}
            assert status_of(lambda: site.get("/git/release-repo/info/refs?service=git-upload-pack", **basic)) == 503
            assert status_of(lambda: site.get("/v2/", **basic)) == 503
            assert site.get("/healthz")
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
        assert eventually(lambda: site.get("/api/v1/channels", **bearer), timeout=30, what="the database is back")
    assert "Traceback" not in process.log.read_text()


def test_a_service_whose_database_is_gone_ends_with_a_message(site: Site) -> None:
    """And with the exit code that says: try again."""
    settings = Settings.from_env({"UMS_DATA": str(site.data)})
    name = settings.database.partition("@/")[2].partition("?")[0]
    with site.postgres.connect() as admin:
        admin.execute(f"DROP DATABASE {name}".encode())
    done = site.ums("serve", str(site.data), code=9)
    assert "does not exist" in done.stderr
    assert "hint: is PostgreSQL up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_site_whose_database_refuses_can_be_initialized_later(tmp_path: Path, postgres: Postgres) -> None:
    """Nothing is half there."""
    site = Site(tmp_path, postgres)
    (site.data / "password").write_text("wrong")
    site.init(code=9)
    (site.data / "password").write_text(postgres.password)
    site.init()
    assert site.token

"""A private PostgreSQL: one a test session, shared by its workers, on a Unix socket in a folder of its own.

``python -m tests.postgres FOLDER PID`` runs it until that process has ended, or it is told to stop: a worker that
starts it may be gone long before the others. Nothing is left behind, whoever is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.processes import Process, eventually

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "autovacuum": "off",
}
_USER = "postgres"
_TIMEOUT_SECONDS = 120
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server to make databases on."""

    sockets: str
    password: str

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Connect as its superuser."""
        return psycopg.connect(
            host=self.sockets, user=_USER, password=self.password, dbname=database, autocommit=True, connect_timeout=10
        )

    def answers(self) -> bool:
        """Return whether it takes connections; raise what says why not."""
        self.connect().close()
        return True

    def create_database(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy".encode())
        return f"postgresql://{_USER}@/{name}?host={self.sockets}"


def binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL that is installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def shared(folder: Path, owner: int) -> Postgres:
    """Return the server of a session, started by whoever asks first; it ends with process ``owner``."""
    ready = folder / "postgres.json"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            log = (folder / "postgres.log").open("ab")
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.postgres", str(folder), str(owner)],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            log.close()
            (folder / "postgres.pid").write_text(str(keeper.pid))
            eventually(
                lambda: ready.exists() or keeper.poll() is not None, timeout=_TIMEOUT_SECONDS, what="PostgreSQL is up"
            )
            keeper.returncode = 0  # it is stopped by the session, not by this worker
    if not ready.exists():
        raise AssertionError(f"PostgreSQL did not start:\n{(folder / 'postgres.log').read_text()[-3000:]}")
    return Postgres(**json.loads(ready.read_text()))


def stop_shared(folder: Path) -> None:
    """Stop the server of a session, if there is one, and wait until it has ended."""
    if not (folder / "postgres.pid").exists():
        return
    keeper = int((folder / "postgres.pid").read_text())
    try:
        watched = os.pidfd_open(keeper)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(watched, signal.SIGTERM)
        select.select([watched], [], [], _TIMEOUT_SECONDS)
    finally:
        os.close(watched)


@contextmanager
def running(folder: Path, bin_folder: Path) -> Iterator[Postgres]:
    """Run a server with its data in a folder; as another user where this one is root, as PostgreSQL wants it."""
    user = None if os.getuid() else _server_user()
    folder.chmod(0o755)  # the way to the socket; who connects needs the password
    data, password = folder / "data", folder / "password"
    for path in (data, folder / "sockets"):
        path.mkdir()
    password.write_text(secrets.token_hex())
    if user is not None:
        for path in (data, folder / "sockets", password):
            shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    initdb: list[str | Path] = [
        bin_folder / "initdb",
        "-D",
        data,
        "-U",
        _USER,
        "-A",
        "scram-sha-256",
        f"--pwfile={password}",
    ]
    initdb += ["-E", "UTF8", "--no-sync"]
    with Process(initdb, log=folder / "initdb.log", cwd=folder, user=user) as made:
        made.wait_until_ended()
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    command: list[str | Path] = [bin_folder / "postgres", "-D", data, "-k", folder / "sockets", *settings]
    server = Postgres(str(folder / "sockets"), password.read_text())
    with Process(command, log=folder / "postgres.log", cwd=folder, user=user) as process:
        try:
            process.wait_until(server.answers)
            yield server
        finally:
            process.stop(sign=signal.SIGQUIT)


def _server_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _keep(folder: Path, owner: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    bin_folder = binaries()
    assert bin_folder is not None
    watched = os.pidfd_open(owner)
    with tempfile.TemporaryDirectory(prefix="ums-postgres-") as scratch, running(Path(scratch), bin_folder) as server:
        pending = folder / "postgres.json.new"
        pending.write_text(json.dumps({"sockets": server.sockets, "password": server.password}))
        pending.rename(folder / "postgres.json")
        select.select([watched], [], [])


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), int(sys.argv[2]))

"""Git hosts for tests: a bare repository behind HTTP with a token, and behind SSH with a deploy key."""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract.registries import serve
from tests.processes import Process, free_port, listens
from ums.domain.git_hosts import GitRemote

TOKEN = "a-token"  # noqa: S105 - of a host that lives for a test
_LOGIN = "Basic " + base64.b64encode(f"git:{TOKEN}".encode()).decode()
_ENV = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


def find_sshd() -> str | None:
    """Return the server for SSH, if it is installed."""
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def web(bare: Path) -> Iterator[GitRemote]:
    """Serve a repository with ``git http-backend``, to whoever has the token."""

    def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") != _LOGIN:
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b"who are you?\n"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "HTTP_CONTENT_ENCODING")
        env = {
            **{name: environ.get(name, "") for name in names},
            **_ENV,
            "PATH": os.environ["PATH"],
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": environ.get("HTTP_GIT_PROTOCOL", ""),
            "GIT_PROJECT_ROOT": str(bare.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "git",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        start_response(status, [field for field in fields if field[0] != "Status"])
        return [content]

    with serve(application) as address:
        yield GitRemote(f"http://{address}/{bare.name}", password=TOKEN)


@contextmanager
def shell(bare: Path) -> Iterator[GitRemote]:
    """Serve a repository with sshd, to whoever has the deploy key."""
    folder = bare.parent
    for name in ("host", "deploy"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "deploy.pub", folder / "authorized")
    port = free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    (folder / "sshd.conf").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it where root starts it
    key = (folder / "host.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    command = [str(find_sshd()), "-D", "-e", "-f", str(folder / "sshd.conf")]
    with Process(command, log=folder / "sshd.log") as server:
        server.wait_until(listens(port))
        url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{bare}"
        yield GitRemote(url, ssh_key=folder / "deploy", known_hosts=folder / "known_hosts")

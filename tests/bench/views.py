"""What polls and fetches of a fleet of ten thousand cost: ``python -m tests.bench.views``.

The real ``ums serve`` beside Git's own server for HTTP, ``git http-backend`` behind nginx and fcgiwrap, on the same
release repo. One client process with kept connections takes a part of the same cores, so what counts is how much
processor time a poll costs the server.
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.events import PLANES, make_fleet
from tests.bench.load import Load, drive
from tests.bench.measuring import median, row
from tests.processes import Process, free_port, listens
from tests.running_service import ROOT
from ums.adapters._git_objects import signed_commit
from ums.adapters.derived_credentials import DerivedCredentials
from ums.adapters.ssh_signature import SSHStateSigner
from ums.domain.names import PDPName

_POLLS, _CONNECTIONS, _ROUNDS = 6_000, 16, 3
_BACKEND_POLLS, _GATEWAYS = 1_000, 4
_FETCHES = 5
_COMMITS = 2_000
_TICK = os.sysconf("SC_CLK_TCK")
_NGINX = """
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 1000000; tcp_nodelay on;
  upstream git {{ {gateways} }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      fastcgi_pass git; fastcgi_param SCRIPT_FILENAME {backend}; fastcgi_param GIT_PROJECT_ROOT {data};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1; fastcgi_param PATH_INFO $uri; fastcgi_param QUERY_STRING $args;
      fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param GIT_CONFIG_NOSYSTEM 1;
      fastcgi_param GIT_CONFIG_GLOBAL /dev/null; fastcgi_param GIT_CONFIG_COUNT 1;
      fastcgi_param GIT_CONFIG_KEY_0 safe.directory; fastcgi_param GIT_CONFIG_VALUE_0 *;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class _Polled:
    """A load, and the processor time that it cost this machine without the client, in seconds."""

    load: Load
    processor: float

    @property
    def per_core(self) -> float:
        """Return how many polls a second one core answers."""
        return sum(self.load.statuses.values()) / self.processor


def bench_views(folder: Path) -> None:
    """Print the figures."""
    data = folder / "data"
    data.mkdir(parents=True)
    make_fleet(data)
    print(f"\npolls and fetches of a fleet of {len(PLANES):,}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with ExitStack() as ending:
        port = free_port()
        serve = [sys.executable, "-m", "ums", "serve", str(data), "--listen", f"127.0.0.1:{port}"]
        env = {"PYTHONPATH": str(ROOT), "UMS_LOG_FORMAT": "json", "UMS_RECONCILE_EVERY": "1h"}
        service = ending.enter_context(Process(serve, log=folder / "serve.log", env=env))
        service.wait_until(listens(port))
        backend = _start_backend(folder, data, ending)
        credentials = DerivedCredentials((data / "master.key").read_bytes())
        _bench_polls(port, backend, credentials)
        _bench_fetches(folder, f"http://127.0.0.1:{port}/git", credentials)
    _bench_commits(folder)


def _start_backend(folder: Path, data: Path, ending: ExitStack) -> int | None:
    backend = Path(_git("--exec-path").strip()) / "git-http-backend"
    programs = [shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("nginx", "fcgiwrap")]
    if not all(programs) or not backend.exists():
        print("  nginx or fcgiwrap is not installed")
        return None
    nginx, fcgiwrap = programs
    port, gateways = free_port(), [free_port() for _ in range(_GATEWAYS)]
    # Everybody may look, as nginx's workers are somebody else where it is started by root.
    for each in (folder, folder.parent):
        each.chmod(0o755)
    upstream = " ".join(f"server 127.0.0.1:{gate};" for gate in gateways)
    settings = _NGINX.format(folder=folder, port=port, gateways=upstream, backend=backend, data=data)
    (folder / "nginx.conf").write_text(settings)
    # One process each: what it would fork itself outlives it.
    for gate in gateways:
        gateway = Process([str(fcgiwrap), "-s", f"tcp:127.0.0.1:{gate}"], log=folder / f"fcgiwrap-{gate}.log")
        ending.enter_context(gateway).wait_until(listens(gate))
    front = Process([str(nginx), "-c", str(folder / "nginx.conf")], log=folder / "nginx.log")
    ending.enter_context(front).wait_until(listens(port))
    return port


def _bench_polls(port: int, backend: int | None, credentials: DerivedCredentials) -> None:
    logins = [_login(credentials, pdp) for pdp in PLANES]
    paths = [f"/git/{pdp}/info/refs?service=git-upload-pack" for pdp in PLANES]
    views = itertools.cycle([_get(*each) for each in zip(paths, logins, strict=True)])
    drive([port], views, connections=_CONNECTIONS, count=len(PLANES))  # each has been polled once
    shared = itertools.repeat(_get("/release-repo.git/info/refs?service=git-upload-pack", ""))
    ours, theirs = [], []
    for _ in range(_ROUNDS):
        ours.append(_polled(port, views, _POLLS))
        if backend is not None:
            theirs.append(_polled(backend, shared, _BACKEND_POLLS))
    mine = max(ours, key=lambda each: each.per_core)
    other = max(theirs, key=lambda each: each.per_core) if theirs else None
    _show("polls of views, each with its login", mine, other)
    if other is not None:
        _show("git http-backend behind nginx and fcgiwrap, without", other)


def _polled(port: int, requests: Iterator[bytes], count: int) -> _Polled:
    before = _processor()
    load = drive([port], requests, connections=_CONNECTIONS, count=count)
    assert set(load.statuses) == {200}, load.statuses
    return _Polled(load, _processor() - before)


def _processor() -> float:
    """Return the processor time that everything here but this process has had.

    Of the whole machine, since nobody counts what ended without being waited for; so it wants to be quiet.
    """
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    own = os.times()
    others = 0 if os.nice(0) == 0 else nice  # who steps back for us is no part of it
    return (user + others + system + sum(interrupts)) / _TICK - own.user - own.system


def _bench_fetches(folder: Path, url: str, credentials: DerivedCredentials) -> None:
    """Fetch as source-controller does: a new clone of depth 1."""
    ours = _fetched(folder, lambda pdp: f"{url}/{pdp}", credentials)
    theirs = _fetched(folder, lambda _: f"{url}/release-repo", credentials, "--branch=delivery")
    print(f"  to follow one change: view {ours[0]:,} bytes, {ours[1] * 1000:.0f} ms;", end=" ")
    print(f"shared repo {theirs[0]:,} bytes, {theirs[1] * 1000:.0f} ms; {ours[0] / theirs[0]:.3%} of the bytes")


def _fetched(
    folder: Path, url: Callable[[PDPName], str], credentials: DerivedCredentials, *options: str
) -> tuple[int, float]:
    size, taken = 0, []
    for number in range(_FETCHES):
        copy, pdp = folder / "copy", PLANES[number]
        started = time.perf_counter()
        header = f"http.extraHeader=Authorization: {_login(credentials, pdp)}"
        _git("-c", header, "clone", "--quiet", "--bare", "--depth=1", *options, url(pdp), str(copy))
        taken.append(time.perf_counter() - started)
        size = sum(path.stat().st_size for path in (copy / "objects").rglob("*.pack"))
        shutil.rmtree(copy)
    return size, sorted(taken)[len(taken) // 2]


def _bench_commits(folder: Path) -> None:
    signer = SSHStateSigner.generate(folder / "a.key")

    def sign() -> None:
        for number in range(_COMMITS):
            signed_commit("1" * 40, [], author="x <x@x>", seconds=number, message="x\n", sign=signer.sign)

    each = median(sign) / _COMMITS
    row(f"a commit made and signed in process ({1 / each:,.0f} a second)", each)


def _login(credentials: DerivedCredentials, pdp: PDPName) -> str:
    given = credentials.credentials(pdp, generation=1)
    return "Basic " + base64.b64encode(f"{given.user}:{given.password}".encode()).decode()


def _get(path: str, login: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: bench", "User-Agent: git/2.0 (flux)"]
    return "\r\n".join([*lines, *([f"Authorization: {login}"] if login else []), "", ""]).encode()


def _git(*arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    return subprocess.run(["git", *arguments], env=env, capture_output=True, text=True, timeout=300, check=True).stdout


def _show(what: str, polled: _Polled, against: _Polled | None = None) -> None:
    ratio = f"{polled.per_core / against.per_core:8.1f} x" if against else ""
    slow = polled.load.percentile(0.99) * 1000
    print(
        f"  {what:<52} {polled.load.per_second:6.0f} /s, {polled.per_core:6.0f} /s and core,"
        f" p99 {slow:6.1f} ms {ratio}",
        flush=True,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch_folder:
        bench_views(Path(scratch_folder) / "views")

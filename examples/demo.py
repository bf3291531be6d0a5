"""``make demo``: a service, an embedded registry, three releases, and a simulated fleet – on this machine alone.

Everything is real but the clusters: see ``examples/simulated_plane.py`` for what these do.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests

from examples.simulated_plane import SimulatedPlane
from ums.domain.names import PDPName

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "platform"
CHANNELS = ROOT / "examples" / "channels"
FLEET = {
    "edge": ("vendor", ("lab", "canary")),
    "candidate": ("acme", ("dev", "test", "staging")),
    "stable": ("globex", tuple(f"site-{number:02}" for number in range(1, 25))),
    "lts": ("initech", ("plant-1", "plant-2", "plant-3")),
}
OFFLINE = PDPName("globex", "site-24")
FRAGILE = PDPName("globex", "site-13")
_ENDED = frozenset({"finished", "halted", "rolled-back", "cancelled"})
_POLL_SECONDS = 1.0
_WORKERS = 4


class Demo:
    """The demonstration, step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "UMS_SERVER": self.url,
            "UMS_KEY": str(folder / "release.key"),
            "UMS_KEY_PASSWORD": secrets.token_urlsafe(12),
        }
        self.planes: list[SimulatedPlane] = []
        self._service: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._fleet = threading.Thread(target=self._run_fleet, daemon=True)

    def run(self, *, once: bool) -> int:
        """Run all of it; with ``once``, end when the fleet has settled."""
        started = time.monotonic()
        try:
            self._prepare()
            self._publish_and_promote()
            settled = self._wait_settled()
            self._say(f"\nready after {time.monotonic() - started:.0f} s")
            if once:
                return 0 if settled else 1
            self._invite()
            signal.pause()
        except KeyboardInterrupt:
            self._say("\nstopping")
        finally:
            self._stopping.set()
            if self._fleet.is_alive():
                self._fleet.join(30)
            if self._service is not None:
                self._service.terminate()
                self._service.wait(15)
        return 0

    def _prepare(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "bin").mkdir(parents=True)
        shim = self.folder / "bin" / "ums"
        python = shlex.quote(sys.executable)
        shim.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {python} -m ums "$@"\n')
        shim.chmod(0o755)
        self._title("A service with its own registry and Git endpoint")
        self._ums("keys", "generate", self.env["UMS_KEY"])
        data, public = str(self.folder / "data"), str(self.folder / "release.pub")
        arguments = ("init", data, "--url", self.url, "--release-key", public, "--channels", str(CHANNELS))
        self.env["UMS_TOKEN"] = json.loads(self._ums(*arguments, "-o", "json", quiet=True))["token"]
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items())
        env_file = self.folder / "env"
        env_file.touch(0o600)
        env_file.write_text(f"{exports}export PATH={shlex.quote(str(self.folder / 'bin'))}:$PATH\n")
        with (self.folder / "serve.log").open("wb") as log:
            self._service = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "ums", "serve", data, "--listen", f"127.0.0.1:{self.port}"],
                stdout=log,
                stderr=log,
                env={**os.environ, "UMS_RECONCILE_EVERY": "1s"},
                cwd=ROOT,
            )
        self._wait(self._is_up, "the service answers")

    def _publish_and_promote(self) -> None:
        self._title("A bundle of four components, published three times")
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            self._ums("publish", str(EXAMPLES / version), "--version", version)
        self._ums("release", "diff", "platform@1.1.0", "platform@1.2.0")
        self._title("A fleet that follows four channels, and 1.0.0 on its way through them")
        count = self._register()
        self._say(f"  {count} data planes registered and bootstrapped; {OFFLINE} stays offline")
        self._fleet.start()
        self._promote("platform@1.0.0", "first release")
        self._wait_for_rollout("lts", "1.0.0")
        self._title("1.1.0 goes on by itself wherever the gates open, wave by wave")
        self._promote("platform@1.1.0", "gateway 3.2")
        self._ums("gates", "platform@1.1.0", "--to", "stable", check=False)
        self._wait_for_rollout("stable", "1.1.0", {"halted"})
        self._ums("rollout", "status", "stable")
        self._title("One data plane did not get well with it, so the rollout halted: the others wait, and know why")
        withheld = [each["pdp"] for each in self._get("/plan")["withheld"] if each["pdp"].startswith("globex/")]
        self._ums("explain", *withheld[:1] or [str(FRAGILE)])
        self._ums("rollout", "resume", "stable", "platform", "--yes", "--reason", f"{FRAGILE} has a broken disk")
        self._wait_for_rollout("stable", "1.1.0")
        self._wait_for_rollout("lts", "1.1.0")
        self._title("1.2.0, a security fix, as far as candidate; the rest is yours")
        self._promote("platform@1.2.0", "CVE-2026-0001", "edge", "candidate")
        self._wait_for_rollout("candidate", "1.2.0")

    def _promote(self, release: str, reason: str, *channels: str) -> None:
        for channel in channels or tuple(FLEET):
            self._ums("promote", release, "--to", channel, "--when-ready", "--reason", reason, quiet=channel != "edge")

    def _wait_for_rollout(self, channel: str, release: str, ended: Collection[str] = _ENDED) -> None:
        """Wait until a release's rollout in a channel ended, well or not, showing how far it is."""

        def over() -> bool:
            rollouts = self._get(f"/channels/{channel}/rollouts")["items"]
            found = next((each for each in rollouts if each["release"].endswith(f"@{release}")), None)
            if sys.stdout.isatty():
                where = f"{found['status']}, wave {found['wave']}" if found else "waits for its gates"
                print(f"\r  {release} in {channel}: {where}{' ' * 20}", end="", flush=True)  # noqa: T201 - a demonstration
            return found is not None and found["status"] in ended

        self._wait(over, f"{release} went through {channel}", timeout=180)
        self._say(
            f"\r  {release} went through {channel}{' ' * 20}" if sys.stdout.isatty() else f"  {release}: {channel}"
        )

    def _register(self) -> int:
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {self.env['UMS_TOKEN']}"
        names = [(PDPName(org, pdp), channel) for channel, (org, pdps) in FLEET.items() for pdp in pdps]
        for name, channel in names:
            body = {"pdp": str(name), "channel": channel, "bundles": ["platform"], "labels": {"org": name.org}}
            body |= {"kubernetes": "1.34.1", "flux": "2.9.0"}
            session.post(f"{self.url}/api/v1/pdps", json=body, timeout=60).raise_for_status()
            answer = session.get(f"{self.url}/api/v1/pdps/{name}/bootstrap", timeout=60)
            answer.raise_for_status()
            fails_on = "observability:2.5.0" if name == FRAGILE else ""
            folder = self.folder / "planes" / f"{name.org}-{name.pdp}.git"
            if name != OFFLINE:
                self.planes.append(SimulatedPlane(name, answer.json()["objects"], folder, fails_on=fails_on))
        return len(names)

    def _run_fleet(self) -> None:
        (self.folder / "planes").mkdir()

        def poll(plane: SimulatedPlane) -> None:
            try:
                plane.poll()
            except Exception as error:  # noqa: BLE001 - a data plane tries again, whatever went wrong
                with (self.folder / "fleet.log").open("a") as log:
                    log.write(f"{plane.name}: {error!r}\n")

        with ThreadPoolExecutor(_WORKERS) as pool:
            while not self._stopping.wait(_POLL_SECONDS):
                list(pool.map(poll, self.planes))

    def _wait_settled(self) -> bool:
        """Wait until every data plane that is online has reported on what it was offered."""

        def settled() -> bool:
            found = self._planes()
            counts = Counter(plane["health"] for plane in found)
            if sys.stdout.isatty():
                text = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
                print(f"\r  {text}{' ' * 20}", end="", flush=True)  # noqa: T201 - a demonstration
            return counts["updating"] == 0 and counts["unknown"] == 1

        done = self._wait(settled, "the fleet has reported", timeout=180)
        counts = Counter(plane["health"] for plane in self._planes())
        self._say("\r  " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + " " * 20)
        return done and counts["failed"] <= 1

    def _planes(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._get("/pdps")["items"]
        return items

    def _get(self, path: str) -> Any:  # noqa: ANN401 - any JSON value
        headers = {"Authorization": f"Bearer {self.env['UMS_TOKEN']}"}
        return requests.get(f"{self.url}/api/v1{path}", headers=headers, timeout=30).json()

    def _invite(self) -> None:
        self._ums("status")
        where = os.path.relpath(self.folder)
        self._say(f"""
It stays up until Ctrl-C. In another terminal:

    . {where}/env
    ums status
    ums pdp show {FRAGILE}            # failed, and says why
    ums rollback {FRAGILE} platform --to 1.0.0 --reason "observability does not start" --wait
    ums pin acme/dev platform/cilium --reason "kernel module"
    ums explain globex/site-05
    ums gates platform@1.2.0 --to stable
    ums promote platform@1.2.0 --to stable --dry-run
    ums promote platform@1.2.0 --to stable --when-ready --reason CVE-2026-0001 --wait
    ums freeze --reason "nobody touches anything"   # and: ums thaw everything --reason …
    ums publish --base platform@1.2.0 --replace gateway --version 1.2.1 examples/platform/1.1.0
    ums verify platform@1.2.0
    ums log
    git -C {where}/data/release-repo.git log --stat delivery   # what Flux would pull

API {self.url}/api/v1   Git {self.url}/git/release-repo   registry 127.0.0.1:{self.port}/ums""")

    def _is_up(self) -> bool:
        assert self._service is not None  # noqa: S101 - started before
        if self._service.poll() is not None:
            raise SystemExit(f"the service ended:\n{(self.folder / 'serve.log').read_text()[-2000:]}")
        try:
            return requests.get(f"{self.url}/healthz", timeout=2).ok
        except requests.RequestException:
            return False

    def _wait(self, condition: Any, what: str, timeout: float = 60) -> bool:  # noqa: ANN401 - a callable
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.2)
        self._say(f"after {timeout:.0f} s still not: {what}; see {self.folder / 'serve.log'} and fleet.log")
        return False

    def _ums(self, *arguments: str, quiet: bool = False, check: bool = True) -> str:
        if not quiet:
            shown = (
                shlex.join(arguments)
                .replace(str(ROOT) + "/", "")
                .replace(str(self.folder), os.path.relpath(self.folder))
            )
            self._say(f"$ ums {shown}")
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", "ums", *arguments],
            env={**os.environ, **self.env},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=None if quiet else subprocess.DEVNULL,
            text=True,
            check=False,
        )
        if done.returncode and check:
            raise SystemExit(f"ums {shlex.join(arguments)} ended with {done.returncode}\n{done.stdout}")
        if not quiet:
            self._say("".join(f"  {line}\n" for line in done.stdout.splitlines()).rstrip("\n"))
        return done.stdout

    def _title(self, text: str) -> None:
        self._say(f"\n— {text}")

    def _say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 - a demonstration


def _port() -> int:
    """Return 8080, or a free port where that is taken."""
    for port in (8080, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no free port")


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the fleet has settled")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where to keep everything")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    return Demo(arguments.folder.resolve()).run(once=arguments.once)


if __name__ == "__main__":
    sys.exit(main())

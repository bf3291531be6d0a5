"""Data planes that follow their views with real Git while the service is killed, and somebody who moves them."""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.chaos_clients import Book, Client, UnluckyError
from tests.running_service import EXAMPLES, RunningService
from ums.adapters.derived_credentials import DerivedCredentials
from ums.adapters.ssh_signature import SSHStateSigner
from ums.client import Client as Admin
from ums.domain.errors import InProgressError, UnavailableError
from ums.domain.names import PDPName

PLANES = [PDPName("acme", f"p{number}") for number in range(2)]
_RELEASES = ("1.0.0", "1.1.0")
_ALONE = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_FINAL = ("Authentication failed", "could not read Username", "error: 401", "error: 403", "error: 404", "not our ref")
"""What Git says when trying again is not the way: a service that is killed never causes that."""


def make_fleet(service: RunningService) -> None:
    """Publish two releases, and register data planes that were offered one."""
    for version in _RELEASES:
        service.publish(EXAMPLES / "flux" / "2.9.0", version)
    for pdp in PLANES:
        service.ums("pdp", "add", str(pdp), "--channel", "edge", "--bundle", "flux", "--kubernetes", "1.33.0")
    for version in _RELEASES:
        service.promote(f"flux@{version}", "edge")


class Issuer(Client):
    """Moves data planes from one release to another and back: each time they are offered a new state."""

    KIND = "issue"

    def _choose(self) -> Callable[[], None] | None:
        pdp, version = self._random.choice(PLANES), _RELEASES[self._count % 2]
        reason = f"{self.name}-{self._count}"

        def issue() -> None:
            client = Admin(self.service.url, self.service.token)
            try:
                answer = client.hold(pdp.org, pdp.pdp, subject="flux", release=version, reason=reason)
            except (UnavailableError, InProgressError) as error:
                raise UnluckyError(str(error)) from error
            self._book.see({name: int(serial) for name, serial in answer["serials"].items()})

        return issue


class Follower(Client):
    """Clones a view, and fetches into what it cloned; whatever succeeds is whole, signed, and never older than before.

    Args:
        name: of the thread, and of the folder that it clones into.
        service: which is killed meanwhile.
        stop: tells it to stop.
        book: what is known of all.
        seed: of its choices.
        pdp: whom it follows for.

    """

    KIND = "follow"

    def __init__(
        self, name: str, service: RunningService, stop: threading.Event, book: Book, seed: int, *, pdp: PDPName
    ) -> None:
        super().__init__(name, service, stop, book, seed)
        self.pdp = pdp
        folder = service.folder / f"follows-{name}"
        folder.mkdir()
        known = DerivedCredentials((service.data / "master.key").read_bytes()).credentials(pdp, generation=1)
        login = base64.b64encode(f"{known.user}:{known.password}".encode()).decode()
        self._login = f"http.extraHeader=Authorization: Basic {login}"
        self._copy, self._signers = folder / "copy", folder / "signers"
        self._signers.write_text(f"* {SSHStateSigner.load(service.data / 'state.key').public_key}\n")
        self._numbers = itertools.count()

    def _choose(self) -> Callable[[], None] | None:
        protocol = self._random.choice("02")
        if self._copy.exists() and self._random.random() < 0.6:
            return self._fetching(protocol)
        return self.cloning(protocol, *self._random.choice([[], ["--depth=1"]]))

    def cloning(self, protocol: str, *options: str) -> Callable[[], None]:
        """Return a clone."""

        def clone() -> None:
            known = self._book.serials[str(self.pdp)]
            made = self._copy.with_name(f"copy-{next(self._numbers)}")
            url = f"{self.service.url}/git/{self.pdp}"
            self._git("clone", "--quiet", *options, url, str(made), protocol=protocol)
            self._look(made, known)
            shutil.rmtree(self._copy, ignore_errors=True)
            made.rename(self._copy)

        return clone

    def _fetching(self, protocol: str) -> Callable[[], None]:
        def fetch() -> None:
            known = self._book.serials[str(self.pdp)]
            self._git("-C", str(self._copy), "fetch", "--quiet", "--force", protocol=protocol)
            self._look(self._copy, known)

        return fetch

    def _look(self, copy: Path, known: int) -> None:
        """Check what came: the state must not be older than what was known when this began."""
        at = ("-C", str(copy), "-c", f"gpg.ssh.allowedSignersFile={self._signers}")
        self._checked(*at, "fsck", "--strict", "--full")
        self._checked(*at, "verify-commit", "origin/view")
        listed = self._checked(*at, "ls-tree", "-r", "--name-only", "origin/view").split()
        for path in listed:
            self._checked(*at, "cat-file", "blob", f"origin/view:{path}")
        text = self._checked(*at, "show", f"origin/view:pdps/{self.pdp}/state.yaml")
        state = yaml.safe_load(text)["data"]
        serial = int(state["serial"])
        if state["pdp"] != str(self.pdp) or serial < known:
            raise AssertionError(f"{self.pdp} was given serial {serial} of {state['pdp']}, and knew of {known}")
        self._book.see({str(self.pdp): serial})

    def _git(self, *arguments: str, protocol: str) -> None:
        done = self._run("-c", f"protocol.version={protocol}", "-c", self._login, *arguments)
        if done.returncode:
            if any(sign in done.stderr for sign in _FINAL):
                raise AssertionError(done.stderr)
            raise UnluckyError(done.stderr)

    def _checked(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise AssertionError(f"git {' '.join(arguments[4:])}: {done.stdout}{done.stderr}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *arguments],
            env={**_ALONE, "PATH": os.environ["PATH"], "HOME": str(self._signers.parent)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

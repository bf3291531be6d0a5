"""The one door to Git: every process of Git starts here, through GitPython.

A repository is somebody else's data: whoever can write to its folder can ask Git to replace objects, to cut off history
or to run commands. Git therefore runs on a folder of ours that borrows objects and refs, with an environment made from
nothing (ADR 0025).
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Timer
from types import MappingProxyType
from typing import BinaryIO

from git import GitError
from git.cmd import Git as _Command

from ums.adapters._git_folder import OwnFolder, require
from ums.domain.errors import StorageError, UnavailableError
from ums.waiting import will_wait

TIMEOUT_SECONDS = 60
"""That a command may take, unless its caller says otherwise."""
_NOTHING = "/dev/null"
_ENVIRONMENT: Mapping[str, str] = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": _NOTHING,
    "GIT_CONFIG_GLOBAL": _NOTHING,
    "GIT_CONFIG_COUNT": "0",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
    # zlib wants 256 KiB an object, which glibc would take from the kernel, and give back, each time.
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
}
_INHERITED = frozenset({"PATH"})
NETWORK = frozenset(
    [
        "SSH_AUTH_SOCK",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "GIT_SSL_CAINFO",
        "GIT_SSL_CAPATH",
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
    ]
)
"""What a command that speaks to another machine may take over from the service's environment, besides ``PATH``."""
_WRITING = frozenset({"fast-import", "fetch", "hash-object"})
_MAX_LINE = 500
_DISK_REFUSED = ("No space left", "ermission", "not permitted", "Read-only file system", "quota")
NO_OBJECT = "0" * 40


Process = _Command.AutoInterrupt
"""A command that is ended when it is collected."""


class Git:
    """Runs Git on a repository, without anything that the repository, the machine or its users configure.

    Args:
        path: the repository's folder, which holds ``objects`` and ``refs``.
        timeout: seconds for a command.
        inherited: names of variables of this process that commands get.
        environment: further variables of commands.

    """

    def __init__(
        self,
        path: Path,
        *,
        timeout: float = TIMEOUT_SECONDS,
        inherited: Collection[str] = frozenset(),
        **environment: str,
    ) -> None:
        self._path = path.absolute()
        self._own = OwnFolder(path)
        self._inherited = _INHERITED | set(inherited)
        self._environment = {**_ENVIRONMENT, **environment}
        self._timeout = timeout

    def run(
        self,
        *arguments: str,
        stdin: bytes | Iterator[bytes] = b"",
        holding: Sequence[int] = (),
        timeout: float | None = None,
    ) -> bytes:
        """Run a Git command and return its output; what is still to be made it reads while the rest is made.

        Args:
            arguments: of the command.
            stdin: what it reads.
            holding: descriptors that it keeps open, so that locks on them last as long as it does.
            timeout: seconds, if it may take longer than others.

        Raises:
            StorageError: the disk is full or not writable.
            UnavailableError: Git failed otherwise, or took too long.

        """
        limit = timeout or self._timeout
        try:
            running = self.start(*arguments, holding=holding)
            process = running.proc
            assert process is not None  # noqa: S101 - as_process was asked for
            try:
                if not isinstance(stdin, bytes):
                    _feed(process, stdin, limit)
                    stdin = b""
                output, problems = process.communicate(stdin, timeout=limit)
            except BaseException:
                process.kill()
                process.communicate()
                raise
        except (OSError, subprocess.TimeoutExpired) as error:
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageError("the disk is full; nothing was recorded") from error
            raise UnavailableError(f"git {arguments[0]} did not finish: {error}") from error
        if process.returncode:
            text = self._without_paths(problems.decode(errors="replace").strip()[-_MAX_LINE:])
            if any(sign in text for sign in _DISK_REFUSED):
                raise StorageError(f"the release repo cannot be written: {text}", hint="free space, or mend its rights")
            raise UnavailableError(f"git {arguments[0]} failed: {text}")
        return bytes(output)

    def _without_paths(self, text: str) -> str:
        return text.replace(self._own.path(), self._path.name).replace(str(self._path), self._path.name)

    def led(self, commit_id: str, head: str) -> bool:
        """Return whether a commit is, or led to, another; one that is not there did not."""
        try:
            self.run("merge-base", "--is-ancestor", commit_id, head)
        except UnavailableError:
            return False
        return True

    def start(
        self,
        *arguments: str,
        stdin: BinaryIO | int = subprocess.PIPE,
        holding: Sequence[int] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Process:
        """Start a Git command; it is ended when what is returned is collected, so that is kept until the end.

        Args:
            arguments: of the command.
            stdin: what it reads.
            holding: descriptors that it keeps open.
            environment: further variables.

        Raises:
            StorageError: the disk is full or not writable.
            UnavailableError: the repository is gone.
            OSError: it cannot be started.

        """
        will_wait()
        require(self._path)
        folder = self._own.path()
        if arguments[0] in _WRITING:
            self._own.prepare_to_write()
        env = {**self._environment, "GIT_DIR": folder, "GIT_PROJECT_ROOT": folder, "HOME": folder} | dict(environment)
        # GitPython adds all that this process has, and can take nothing away: env does that.
        unset = [f"--unset={name}" for name in os.environ if name not in env and name not in self._inherited]
        try:
            return _Command(folder).execute(
                ["env", *unset, "git", *arguments],
                env=env,
                istream=stdin,
                as_process=True,
                stdout_as_string=False,
                pass_fds=holding,
                start_new_session=True,
            )
        except GitError as error:
            raise OSError(str(error)) from error

    def serve(self, stdin: BinaryIO, **environment: str) -> subprocess.Popen[bytes]:
        """Start ``git http-backend``, a CGI program, and return it. It leads a process group.

        Args:
            stdin: the body of a request, in a file.
            environment: the other variables of CGI.

        Raises:
            UnavailableError: the repository is gone, or Git cannot be started.

        """
        try:
            running = self.start("http-backend", stdin=stdin, environment={"GIT_HTTP_EXPORT_ALL": "1", **environment})
        except OSError as error:
            raise UnavailableError(f"git http-backend cannot be started: {error}") from error
        process, running.proc = running.proc, None  # the caller ends it
        assert process is not None  # noqa: S101 - as_process was asked for
        return process


def _feed(process: subprocess.Popen[bytes], parts: Iterator[bytes], timeout: float) -> None:
    """Write to a process that reads meanwhile, and has little to say before it read all."""
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    impatience = Timer(timeout, process.kill)
    impatience.start()
    try:
        process.stdin.writelines(parts)
    except BrokenPipeError:
        pass  # it ended early, and says why
    finally:
        impatience.cancel()


def one_line(text: str) -> str:
    """Return text that cannot pose as another trailer: one line, no control characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:_MAX_LINE]

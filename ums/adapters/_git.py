"""Git's plumbing commands through GitPython, for the adapters that read and write release repos."""

from __future__ import annotations

import errno
import os
import select
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Timer
from typing import NamedTuple

import git
from git.cmd import Git as _Command

from ums.domain.errors import StorageError, UnavailableError
from ums.domain.world import LogEntry
from ums.waiting import will_wait

_TIMEOUT_SECONDS = 60
_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}
# zlib wants 256 KiB an object, which glibc would take from the kernel, and give back, each time.
_ENVIRONMENT |= {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "67108864"}
_LOG_FORMAT = (
    "%H%x00%ct%x00%s%x00%(trailers:key=UMS-Actor,valueonly)%x00"
    "%(trailers:key=UMS-Action,valueonly)%x00%(trailers:key=UMS-Reason,valueonly)"
)
_LOG_FIELDS = 6
_MAX_LINE = 500
_PIPE = 64 << 10
_DISK_REFUSED = ("No space left", "ermission", "not permitted", "Read-only file system", "quota")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Every repository has it."""
NO_OBJECT = "0" * 40


class Change(NamedTuple):
    """A path that differs between two commits: its new mode, and its blobs before and after; empty where it is not."""

    path: str
    mode: str
    old: str
    new: str


class Git:
    """Runs Git in a repository, without the configuration of the machine or of its users."""

    def __init__(self, path: Path, *, timeout: float = _TIMEOUT_SECONDS, **environment: str) -> None:
        path = path.absolute()
        self._git = git.Git(path)
        # Where the folder is gone, or the disk that should be mounted there, no other repository may answer: neither
        # that of the folder we run in, which is what GitPython falls back to, nor one that lies around ours.
        self._in = ("-C", str(path))
        self._path = path
        self._git.update_environment(GIT_CEILING_DIRECTORIES=str(path.parent), **_ENVIRONMENT, **environment)
        self._timeout = timeout

    def log(self, *arguments: str) -> list[LogEntry]:
        """Return decisions as ``git log`` lists them.

        Raises:
            UnavailableError: Git failed.

        """
        output = self.run("log", "-z", f"--format={_LOG_FORMAT}", *arguments)
        # Git cuts a message at a NUL, so no commit can add a field; people's may hold anything else.
        fields = [one_line(field) for field in output.decode(errors="replace").split("\x00")]
        entries = []
        for start in range(0, len(fields) - 1, _LOG_FIELDS):
            commit_id, seconds, *words = fields[start : start + _LOG_FIELDS]
            entries.append(LogEntry(commit_id, datetime.fromtimestamp(int(seconds), UTC), *words))
        return entries

    def run(self, *arguments: str, stdin: bytes | Iterator[bytes] = b"", holding: Sequence[int] = ()) -> bytes:
        """Run a Git command and return its output; what is still to be made it reads while the rest is made.

        Args:
            arguments: of the command.
            stdin: what it reads.
            holding: descriptors that it keeps open, so that locks on them last as long as it does.

        Raises:
            StorageError: the disk is full or not writable.
            UnavailableError: Git failed otherwise, or took too long.

        """
        try:
            running = self.start(*arguments, holding=holding)
            process = running.proc
            assert process is not None  # noqa: S101 - as_process was asked for
            try:
                if not isinstance(stdin, bytes):
                    _feed(process, stdin, self._timeout)
                    stdin = b""
                output, problems = process.communicate(stdin, timeout=self._timeout)
            except BaseException:
                process.kill()
                process.communicate()
                raise
        except (OSError, subprocess.TimeoutExpired, git.GitError) as error:
            if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageError("the disk is full; nothing was recorded") from error
            raise UnavailableError(f"git {arguments[0]} did not finish: {error}") from error
        if process.returncode:
            text = problems.decode(errors="replace").strip()[-400:].replace(str(self._path), self._path.name)
            if any(sign in text for sign in _DISK_REFUSED):
                raise StorageError(f"the release repo cannot be written: {text}", hint="free space, or mend its rights")
            raise UnavailableError(f"git {arguments[0]} failed: {text}")
        return bytes(output)

    def led(self, commit_id: str, head: str) -> bool:
        """Return whether a commit is, or led to, another; one that is not there did not."""
        try:
            self.run("merge-base", "--is-ancestor", commit_id, head)
        except UnavailableError:
            return False
        return True

    def changes(self, before: str, after: str, *arguments: str) -> list[Change]:
        """Return what differs between two commits, either of which may be empty; renames are not looked for.

        Args:
            before: a commit.
            after: another.
            arguments: of ``git diff-tree``: options, ``--`` and paths.

        Raises:
            UnavailableError: Git failed, or one is not there.

        """
        commits = (before or EMPTY_TREE, after or EMPTY_TREE)
        output = self.run("diff-tree", "-r", "-z", "--no-renames", *commits, *arguments)
        fields = output.decode(errors="replace").split("\x00")
        found = []
        for meta, path in zip(fields[::2], fields[1::2], strict=False):
            _, mode, old, new, _ = meta.split()
            found.append(Change(path, mode, *("" if blob == NO_OBJECT else blob for blob in (old, new))))
        return found

    def start(self, *arguments: str, holding: Sequence[int] = ()) -> _Command.AutoInterrupt:
        """Start a Git command; it is ended when what is returned is collected, so that is kept until the end."""
        will_wait()
        return self._git.execute(
            ["git", *self._in, *arguments],
            istream=subprocess.PIPE,
            as_process=True,
            stdout_as_string=False,
            pass_fds=holding,
        )


class Objects:
    """Reads objects one after the other, by any number of threads, from one process that stays."""

    def __init__(self, git: Git, *, timeout: float = _TIMEOUT_SECONDS) -> None:
        self._git = git
        self._timeout = timeout
        self._lock = Lock()
        self._running: _Command.AutoInterrupt | None = None
        self._read = bytearray()

    def get(self, name: str, *, limit: int) -> tuple[str, str, bytes] | None:
        """Return id, kind and content of an object, or ``None`` if there is none of that name.

        Raises:
            UnavailableError: Git failed, took too long, or the object has more than ``limit`` bytes.

        """
        will_wait()
        with self._lock:
            for is_last in (False, True):
                try:
                    return self._ask(name, limit)
                except (OSError, ValueError, git.GitError) as error:
                    # The process may have been killed; a new one is asked once.
                    self._end()
                    if is_last:
                        raise UnavailableError(f"git cat-file did not answer: {error}") from error
            raise AssertionError("unreachable")  # pragma: no cover

    def close(self) -> None:
        """End the process, if there is one; it starts again when it is needed."""
        with self._lock:
            self._end()

    def __del__(self) -> None:
        """End it with whoever read."""
        self._end()

    def _end(self) -> None:
        running, self._running = self._running, None
        self._read.clear()
        if running is not None and running.proc is not None:
            running.proc.kill()
            running.proc.communicate()

    def _ask(self, name: str, limit: int) -> tuple[str, str, bytes] | None:
        if self._running is None:
            self._running = self._git.start("cat-file", "--batch")
        process = self._running.proc
        assert process is not None  # noqa: S101 - as_process was asked for
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write(f"{name}\n".encode())
        process.stdin.flush()
        while (end := self._read.find(b"\n")) < 0:
            self._receive(process)
        header = self._read[:end].decode().rsplit(" ", 2)
        del self._read[: end + 1]
        if header[-1] in {"missing", "ambiguous"}:
            return None
        size = int(header[2])
        if size > limit:
            self._end()
            raise UnavailableError(f"{header[1]} {header[0]} has {size} bytes, and may have {limit}")
        while len(self._read) <= size:
            self._receive(process)
        content = bytes(self._read[:size])
        del self._read[: size + 1]
        return header[0], header[1], content

    def _receive(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor = process.stdout.fileno()
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        ready = waiting.poll(self._timeout * 1000)
        part = os.read(descriptor, _PIPE) if ready else b""
        if not part:
            raise OSError("it ended" if ready else "it took too long")
        self._read += part


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

"""A repository's folder, read without Git: where its branches are, and what in it could mislead Git.

Whoever can write to the folder can put more into it than commits: replacements of objects, grafts, alternates,
configuration that names commands. Git obeys all of these. So Git never runs on the folder itself, but on one of ours
that borrows its objects and refs (ADR 0025), and this module reads the rest as data.

Sources: Git's documentation, ``gitrepository-layout``, ``git-config`` (Syntax), ``git-pack-refs``.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path

from ums.domain import layout
from ums.domain.errors import InvalidInputError, StorageError, UnavailableError

_HEX = "[0-9a-f]{40}"
_REF = re.compile(f"({_HEX})\n".encode())
_PACKED = re.compile(rf"(?:#[^\n]*|\^{_HEX}|(?P<id>{_HEX}) (?P<ref>refs/[^\x00-\x20\x7f]+))\n".encode())
_NO_ID = b"0" * 40
_REF_BYTES = 100
_MAX_PACKED_REFS = 64 << 20
_MAX_CONFIG = 1 << 20
_FAN_OUT = tuple(f"{number:02x}" for number in range(256))
_ALL_FAN_OUT = frozenset(_FAN_OUT)
_BACK = "bring the repository back from a backup, or from a clone"
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\thooksPath = /dev/null
\tfsmonitor = false
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tuseReplaceRefs = false
\tlogAllRefUpdates = false
\tmultiPackIndex = false
\taskPass =
\tcompression = 1
\tfsync = committed
\tfilesRefLockTimeout = 5000
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol]
\tallow = never
[transfer]
\tfsckObjects = true
\tbundleURI = false
\thideRefs = refs
"""
# Of the patterns, the last that fits counts.
_CONFIG += "".join(f"\thideRefs = !refs/heads/{branch}\n" for branch in (layout.MAIN, layout.DELIVERY))
_CONFIG += """\
[fetch]
\trecurseSubmodules = false
[http]
\tfollowRedirects = false
[uploadpack]
\tallowFilter = true
"""

FOR_PEOPLE: Mapping[str, str] = {
    "core.repositoryformatversion": "0",
    "core.filemode": "true",
    "core.bare": "true",
    "core.filesRefLockTimeout": "5000",
    "core.fsync": "committed",
    "gc.auto": "0",
    "http.receivepack": "false",
    "receive.denyNonFastForwards": "true",
    "receive.fsckObjects": "true",
    "uploadpack.allowFilter": "true",
}
"""The configuration of a release repo: for people who push to it. We do not read it."""
_OUR_KEYS = frozenset(key.lower() for key in FOR_PEOPLE) | {"core.compression"}
_CLONE_KEY = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks)"
    r"|remote\.[^\n]*\.(url|fetch|mirror|tagopt)|branch\.[^\n]*\.(remote|merge|rebase)|user\.(name|email)"
)
_SECTION = re.compile(r'\[([A-Za-z0-9.-]+)(?: "([^"\\\n]*)")?\]')
_ENTRY = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s*=[^\n]*(?<!\\)|([A-Za-z][A-Za-z0-9-]*)")

# What git init and git itself make in a bare repository; the last two are ours.
_TOP = frozenset({"HEAD", "config", "description", "branches", "hooks", "info", "logs", "objects", "refs"})
_TOP |= {"packed-refs", "FETCH_HEAD", "ORIG_HEAD", "gc.pid", "gc.log", "ums.lock", "ums.trusted"}
_INFO = frozenset({"exclude", "refs"})
_OBJECTS_INFO = frozenset({"packs", "commit-graph", "commit-graphs"})
_MISLEADING = {
    "objects/info/alternates": "takes objects from elsewhere",
    "objects/info/http-alternates": "takes objects from elsewhere",
    "info/grafts": "gives commits other parents",
    "shallow": "cuts off history",
    "commondir": "takes refs and objects from elsewhere",
    "reftable": "keeps refs in a format that UMS does not read",
}


def read_ref(folder: Path | str, ref: str) -> str:
    """Return the commit that a ref names; empty if there is no such ref.

    Raises:
        UnavailableError: the ref, or ``packed-refs``, is damaged or a link, or cannot be read.

    """
    # Several times for each event of a data plane: four times as fast as an open file.
    try:
        # A link may lead anywhere; a pipe would be waited for.
        descriptor = os.open(f"{folder}/{ref}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            content = os.read(descriptor, _REF_BYTES)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return _packed_refs(folder).get(ref, "")
    except OSError as error:
        raise _damaged(f"{ref} cannot be read: {error.strerror}") from error
    if not (match := _REF.fullmatch(content)) or match[1] == _NO_ID:
        raise _damaged(f"{ref} holds no commit id, but {content[:50]!r}")
    return match[1].decode()


def _packed_refs(folder: Path | str) -> dict[str, str]:
    content = read_plain(Path(folder, "packed-refs"), _MAX_PACKED_REFS)
    refs: dict[str, str] = {}
    end = 0
    for match in _PACKED.finditer(content):
        if match.start() != end:
            break
        end = match.end()
        if match["ref"]:
            refs[match["ref"].decode(errors="replace")] = match["id"].decode()
    if end != len(content):
        number = content.count(b"\n", 0, end) + 1
        raise _damaged(f"packed-refs is damaged at line {number}: {content[end : end + 50]!r}")
    return refs


def read_plain(path: Path, limit: int) -> bytes:
    """Return what a plain file holds; nothing if there is none.

    Raises:
        UnavailableError: it is a link, a folder or a pipe, has more than ``limit`` bytes, or cannot be read.

    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _damaged(f"{path.name} is no plain file")
            content = file.read(limit + 1)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _damaged(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise _damaged(f"{path.name} has more than {limit} bytes")
    return content


def _damaged(text: str) -> UnavailableError:
    return UnavailableError(f"the release repo is damaged: {text}", hint=_BACK)


def is_repository(folder: Path) -> bool:
    """Return whether objects and refs lie there."""
    return (folder / "objects").is_dir() and (folder / "refs").is_dir()


def require(folder: Path) -> None:
    """Make sure that a repository is there.

    Raises:
        UnavailableError: it is not.

    """
    if not is_repository(folder):
        raise UnavailableError(
            f"there is no Git repository at {folder.name}", hint="is its disk mounted? ums restore brings it back"
        )


def folder_of_clone(path: Path) -> Path:
    """Return where a clone, bare or not, keeps its objects and refs.

    Raises:
        InvalidInputError: they are elsewhere.

    """
    inner = path / ".git"
    if not os.path.lexists(inner):
        return path
    if inner.is_symlink() or not inner.is_dir():
        raise InvalidInputError(
            f"{path} is a linked work tree or a submodule: its objects are elsewhere", hint="name the clone itself"
        )
    return inner


def misleading(folder: Path) -> list[str]:
    """Return what in a repository changes what Git reads from it, a sentence each. Git of ours ignores it.

    Raises:
        UnavailableError: the folder cannot be read.

    """
    try:
        found = [f"{name} {why}" for name, why in _MISLEADING.items() if os.path.lexists(folder / name)]
        found += [f"{name} replaces an object" for name in _replacements(folder)]
        found += [f"{name} is a link" for name in _names(folder) if (folder / name).is_symlink()]
        found += [text for name in ("refs", "objects") for text in _odd(folder, name)]
    except OSError as error:
        raise _damaged(f"its folder cannot be read: {error.strerror}") from error
    return sorted(found)


def _odd(folder: Path, name: str) -> Iterator[str]:
    """Yield what is neither a file nor a folder below a folder: a link leads elsewhere, Git waits for a pipe."""
    try:
        with os.scandir(folder / name) as listed:
            entries = list(listed)
    except FileNotFoundError:
        return  # Git removes folders when they are empty
    for each in entries:
        path = f"{name}/{each.name}"
        if each.is_symlink():
            yield f"{path} is a link"
        elif each.is_dir():
            yield from _odd(folder, path)
        elif not each.is_file():
            yield f"{path} is no file"


def _replacements(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder / "refs" / "replace"):
        yield from (Path(place, name).relative_to(folder).as_posix() for name in names)
    yield from (ref for ref in _packed_refs(folder) if ref.startswith("refs/replace/"))


def commands_of_clone(folder: Path) -> list[str]:
    """Return what could make Git run commands or convert content in somebody's clone, a sentence each."""
    found = _hooks(folder)
    found += [f"config sets {key}" for key in _keys(folder / "config") if not _CLONE_KEY.fullmatch(key)]
    found += [f"{name} is there" for name in ("info/attributes", "config.worktree") if os.path.lexists(folder / name)]
    return sorted(found)


def foreign(folder: Path) -> list[str]:
    """Return what is in a release repo and belongs to none, a sentence each.

    Raises:
        UnavailableError: the folder cannot be read.

    """
    found = misleading(folder) + _hooks(folder)
    found += [f"config sets {key}, which UMS did not" for key in _keys(folder / "config") if key not in _OUR_KEYS]
    for place, allowed in (("", _TOP), ("info/", _INFO), ("objects/info/", _OBJECTS_INFO)):
        # Git's own locks last an instant, and what was left of a killed process is no attack.
        names = (each for each in _names(folder / place) if not each.endswith((".lock", ".new")))
        found += [
            f"{place}{name} is there" for name in names if name not in allowed and place + name not in _MISLEADING
        ]
    return sorted(found)


def _hooks(folder: Path) -> list[str]:
    return [f"hooks/{name} is a hook" for name in _names(folder / "hooks") if not name.endswith(".sample")]


def _names(folder: Path) -> list[str]:
    try:
        return [each.name for each in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _damaged(f"its folder cannot be read: {error.strerror}") from error


def _keys(path: Path) -> list[str]:
    """Return the keys in a configuration; a line in any form that Git does not write by itself stands for one, too."""
    section, keys = "", dict[str, None]()
    for line in read_plain(path, _MAX_CONFIG).decode(errors="replace").splitlines():
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if match := _SECTION.fullmatch(text):
            section = match[1].lower() + (f".{match[2]}" if match[2] is not None else "")
        elif match := _ENTRY.fullmatch(text):
            keys[f"{section}.{(match[1] or match[2]).lower()}"] = None
        else:
            keys[f"{text[:80]!r}"] = None
    return list(keys)


def create(folder: Path) -> None:
    """Make an empty bare repository, for people to push to; what is there already stays.

    Raises:
        OSError: the disk refused.

    """
    for name in ("objects/pack", "objects/info", "refs/heads", "refs/tags"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not (folder / "config").exists():
        (folder / "config").write_text("".join(_settings(FOR_PEOPLE)))
    if not (folder / "HEAD").exists():
        (folder / "HEAD").write_text(f"ref: refs/heads/{layout.MAIN}\n")


def _settings(settings: Mapping[str, str]) -> Iterator[str]:
    section = ""
    for key, value in sorted(settings.items()):
        name, _, rest = key.partition(".")
        if name != section:
            section = name
            yield f"[{section}]\n"
        yield f"\t{rest} = {value}\n"


class OwnFolder:
    """A Git folder of ours beside a repository's: its configuration is ours, its objects and refs are borrowed.

    Nothing is taken over of ``config``, ``hooks``, ``info``, ``objects/info``, ``shallow``, ``commondir``, and whatever
    else Git reads there, now or in later versions.
    """

    def __init__(self, folder: Path) -> None:
        """Stand in for the repository in ``folder``; nothing is made yet."""
        self._folder = folder.absolute()
        self._made = ""

    def path(self) -> str:
        """Return where it is, and make it, also where a cleaner of temporary files has been.

        Raises:
            StorageError: the disk refused.

        """
        if not self._made or not all(Path(self._made, name).exists() for name in ("HEAD", "config", "objects")):
            try:
                self._make()
            except OSError as error:
                raise StorageError(f"cannot write temporary files: {error.strerror}") from error
        return self._made

    def _make(self) -> None:
        made = tempfile.mkdtemp(prefix="ums-git-")
        weakref.finalize(self, _remove, made, os.getpid())
        own = Path(made)
        (own / "objects" / "info").mkdir(parents=True)
        for name in ("refs", "packed-refs", "objects/pack", *(f"objects/{name}" for name in _FAN_OUT)):
            (own / name).symlink_to(self._folder / name)
        (own / "config").write_text(_CONFIG)
        (own / "HEAD").write_text(f"ref: refs/heads/{layout.MAIN}\n")
        self._made = made

    def prepare_to_write(self) -> None:
        """Make the folders of loose objects that are not there: Git cannot make what a link leads to.

        Raises:
            OSError: the disk refused.

        """
        objects = self._folder / "objects"
        for name in _ALL_FAN_OUT.difference(os.listdir(objects)):  # noqa: PTH208 - before each decision, and fast
            (objects / name).mkdir(exist_ok=True)


def _remove(path: str, process: int) -> None:
    if process == os.getpid():  # else it is still our parent's
        shutil.rmtree(path, ignore_errors=True)

"""The chain of security events: what an entry is, how it is bound to the one before it, and what must hold of them.

Each entry holds the hash of the one before, and its own over everything in it; commits that the service signs name
the newest. So nobody changes what was anchored without the state key, and nobody changes a row in between unseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self

from ums.domain import strict_json
from ums.domain.canonical import canonical_json
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.instants import to_text

_MAX_WORD = 200
_MAX_TEXT = 300
_MAX_ITEMS = 50
_MAX_ADDRESS = 64
_MAX_DIGITS = 18


class SecurityKind(StrEnum):
    """What can happen."""

    TOKEN_ISSUED = "token.issued"  # noqa: S105 - a name
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - a name
    TOKEN_FIRST_USED = "token.first-used"  # noqa: S105 - a name
    TOKEN_EXPIRED = "token.expired"  # noqa: S105 - a name
    AUTHENTICATION_FAILED = "authentication.failed"
    PERMISSION_DENIED = "permission.denied"
    LOGIN = "login"
    LOGOUT = "logout"
    SESSION_ENDED = "session.ended"
    ROLE_GRANTED = "role.granted"
    ROLE_REVOKED = "role.revoked"
    PLANE_REFUSED = "data-plane.refused"
    PLANE_BOOTSTRAPPED = "data-plane.bootstrapped"
    PLANE_ROTATED = "data-plane.rotated"
    PLANE_ROTATION_FINISHED = "data-plane.rotation-finished"
    PLANE_OUTDATED = "data-plane.outdated"
    PLANE_REMOVED = "data-plane.removed"
    DELIVERY_RECLAIMED = "delivery.reclaimed"
    MAIN_RESTORED = "main.restored"
    HOST_REFUSED = "git-host.refused"
    WEBHOOK_ADDED = "webhook.added"
    WEBHOOK_REMOVED = "webhook.removed"
    DATABASE_REBUILT = "database.rebuilt"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    CLOCK_ACCEPTED = "clock.accepted"


@dataclass(frozen=True, slots=True)
class Origin:
    """Which request something came with: its client's address and its id; empty where there was none."""

    address: str = ""
    request_id: str = ""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest entry at some moment, as commits name it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq} {self.hash}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``42 sha256:…``.

        Raises:
            InvalidInputError: it is none.

        """
        seq, _, digest = text.partition(" ")
        if not (seq.isascii() and seq.isdecimal()) or len(seq) > _MAX_DIGITS or not int(seq):
            raise InvalidInputError(f"{text!r:.99} names no entry of the security log")
        return cls(int(seq), str(Digest.parse(digest)))


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """Something to be kept. Its texts are clean: one line, of bounded length.

    Attributes:
        what: canonical JSON.

    """

    at: str
    kind: SecurityKind
    subject: str
    what: str
    origin: Origin = NOWHERE

    @classmethod
    def make(cls, kind: SecurityKind, *, at: datetime, subject: str, what: Mapping[str, Any], origin: Origin) -> Self:
        """Return an event; what is too long is cut, since some of it anybody may have sent."""
        return cls(
            to_text(at),
            kind,
            _clean(subject, _MAX_WORD),
            canonical_json(_cleaned(dict(what))).decode(),
            Origin(_clean(origin.address, _MAX_ADDRESS), _clean(origin.request_id, _MAX_ADDRESS)),
        )

    def after(self, head: Anchor | None) -> Entry:
        """Return the entry that this is behind the newest one."""
        entry = Entry(
            head.seq + 1 if head else 1,
            self.at,
            self.kind.value,
            self.subject,
            self.what,
            self.origin.address,
            self.origin.request_id,
            head.hash if head else "",
            "",
        )
        return replace(entry, hash=hash_of(entry))


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log, as it was read: nothing in it is certain before it was checked.

    Attributes:
        at: UTC, RFC 3339.
        what: canonical JSON.
        previous: the hash of the row before; empty for the first.

    """

    seq: int
    at: str
    kind: str
    subject: str
    what: str
    address: str
    request_id: str
    previous: str
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers and exports; without ``hash``, as canonical JSON, it is what is hashed."""
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "subject": self.subject,
            "what": _parsed(self.what),
            "address": self.address,
            "requestId": self.request_id,
            "previous": self.previous,
            "hash": self.hash,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read an exported row.

        Raises:
            InvalidInputError: something is missing, or of another type.

        """
        texts = ("at", "kind", "subject", "address", "requestId", "previous", "hash")
        seq, what = data.get("seq"), data.get("what")
        if type(seq) is not int or not isinstance(what, dict) or not all(isinstance(data.get(n), str) for n in texts):
            raise InvalidInputError("this is no security event")
        at, kind, subject, address, request_id, previous, digest = (data[name] for name in texts)
        return cls(seq, at, kind, subject, canonical_json(what).decode(), address, request_id, previous, digest)


def hash_of(entry: Entry) -> str:
    """Return the hash that an entry must have: SHA-256 over its canonical JSON, with the hash of the one before."""
    row = entry.to_dict()
    del row["hash"]
    try:
        return str(Digest.of(canonical_json(row)))
    except InvalidInputError:
        return ""  # nothing that UMS wrote


@dataclass(frozen=True, slots=True)
class Anchored:
    """That a signed commit names an entry."""

    commit: str
    anchor: Anchor


@dataclass(frozen=True, slots=True)
class Break:
    """The first row that does not hold, and why."""

    seq: int
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers."""
        return {"seq": self.seq, "message": self.message}


@dataclass(frozen=True, slots=True)
class Chain:
    """What was looked at.

    Attributes:
        entries: how many rows hold, from the first on.
        anchored: up to which row signed commits vouch for them; 0 if for none. Past it the database alone does.
        broken: the first row that does not hold.

    """

    entries: int
    anchored: int
    broken: Break | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the form used in answers."""
        return {
            "entries": self.entries,
            "anchored": self.anchored,
            "broken": self.broken.to_dict() if self.broken else None,
        }


def verify_chain(entries: Iterable[Entry], anchors: Sequence[Anchored]) -> Chain:
    """Walk rows in the order in which they stand, against what commits, oldest first, say of them.

    Rows that were cut off behind the last anchor cannot be told from rows that never were.
    """
    named: dict[int, Anchored] = {}
    for each in anchors:
        named.setdefault(each.anchor.seq, each)
    head: Anchor | None = None
    anchored = 0
    for entry in entries:
        here = named.get(entry.seq)
        if message := _wrong(entry, head, here, anchored):
            count = head.seq if head else 0
            return Chain(count, anchored, Break(min(entry.seq, count + 1), message))
        head = Anchor(entry.seq, entry.hash)
        anchored = entry.seq if here else anchored
    count = head.seq if head else 0
    if beyond := [each for each in anchors if each.anchor.seq > count]:
        last, by = max(each.anchor.seq for each in beyond), beyond[0].commit
        message = f"is missing, and so are all after it, up to {last} at least: commit {by} names one of them"
        return Chain(count, anchored, Break(count + 1, message))
    return Chain(count, anchored)


def fallen_anchors(anchors: Sequence[Anchored]) -> list[tuple[str, str]]:
    """Return each commit that names an entry before, or another one than, what a commit before it named; and how."""
    found = []
    for before, each in pairwise(anchors):
        was, now = before.anchor, each.anchor
        if now.seq < was.seq or (now.seq == was.seq and now.hash != was.hash):
            text = f"names security event {now.seq}, where {before.commit} before it names {was.seq}"
            found.append((each.commit, f"{text}: the log was replaced in between"))
    return found


def _wrong(entry: Entry, head: Anchor | None, here: Anchored | None, anchored: int) -> str:
    """Return why a row does not hold behind those before it; empty if it does."""
    expected = head.seq + 1 if head else 1
    if entry.seq > expected:
        return "is missing"
    if entry.seq < expected:
        return f"stands behind row {expected - 1}: it was inserted, or the order was changed"
    if entry.hash != hash_of(entry):
        return "was changed: its hash is of something else"
    if entry.previous != (head.hash if head else ""):
        return "does not follow the row before it: one of the two was replaced"
    if here and here.anchor.hash != entry.hash:
        since = f"a row from {anchored + 1} on was replaced" if anchored + 1 < entry.seq else "it was replaced"
        return f"is not the one that commit {here.commit} names: {since}, or that commit is by a stolen key"
    return ""


def _parsed(what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a text of canonical JSON says, or the text itself where it is none."""
    try:
        found = strict_json.loads(what.encode(), go=False)
        return found if canonical_json(found).decode() == what else what
    except (AttributeError, InvalidInputError):  # a row may be of any type, if somebody wrote it into the database
        return what


def _cleaned(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case str():
            return _clean(value, _MAX_TEXT)
        case dict():
            return {key: _cleaned(each) for key, each in value.items()}
        case list() | tuple():
            return [_cleaned(each) for each in value[:_MAX_ITEMS]]
        case _:
            return value


def _clean(text: str, size: int) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:size]).strip()

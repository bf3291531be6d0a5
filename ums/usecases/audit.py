"""Audit: walk every commit of the release repo and name those that do not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ums.domain import layout
from ums.domain.auditing import Audited, Commit, Flaw, fallen, signed_in_time, trespasses
from ums.domain.names import PDPName
from ums.domain.security_log import Anchored, Entry, fallen_anchors, verify_chain
from ums.ports import History

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Audit:
    """Check both branches and the security log, from their beginnings on; nothing of the service is asked."""

    history: History

    def __call__(self, keys: Sequence[str] = (), *, log: Iterable[Entry] | None = None) -> Audited:
        """Walk the history, and the security log if it is given.

        Args:
            keys: state keys to trust, in OpenSSH's form; without any, those that ``trust.yaml`` named when each
                commit was made – then the repository vouches for itself.
            log: all of its rows, from the first on, read after the release repo or together with it.

        Raises:
            NotFoundError: there is no release repo, or nothing in it.
            IntegrityError: an object is damaged or missing.
            UnavailableError: Git failed.

        """
        self.history.check_objects()
        named = {} if keys else self.history.state_keys()
        trusted = tuple(keys) or tuple({key for each in named.values() for key in each})
        main = self.history.commits(layout.MAIN, trusted)
        delivery = self.history.commits(layout.DELIVERY, trusted)
        if not keys:
            main, delivery = signed_in_time(main, delivery, named)
        # What people's commits say of the log is said by nobody whose key counts.
        anchors = [Anchored(each.id, each.anchor) for each in main if each.signed_by and each.anchor]
        flaws = (
            *self._of_main(main, dict(fallen_anchors(anchors))),
            *self._of_delivery(delivery, {each.id: each for each in main}),
        )
        chain = None if log is None else verify_chain(log, anchors)
        by_people = sum(each.signed_by is None for each in main)
        return Audited(len(main), by_people, len(delivery), flaws, chain, tuple(self.history.ignored()))

    def _of_main(self, commits: Sequence[Commit], fallen_from: Mapping[str, str]) -> Iterator[Flaw]:
        signed: dict[str, int] = {}
        for each in commits:
            # Of a merge's parents, the one that the service wrote last: what people merged is compared with that.
            before = max(each.parents, key=lambda parent: signed.get(parent, 0), default="")
            signed[each.id] = signed.get(before, 0) + (each.signed_by is not None)
            if each.signed_by is not None:
                # The service merges what people committed, and adds nothing of its own.
                if len(each.parents) > 1 and trespasses(self.history.changed(before, each.id)):
                    yield _flaw(layout.MAIN, each, "is a merge, and brings what only UMS writes")
                if each.id in fallen_from:
                    yield _flaw(layout.MAIN, each, fallen_from[each.id])
                continue
            if wrong := trespasses(self.history.changed(before, each.id)):
                more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
                text = f"changes {', '.join(wrong[:_SHOWN])}{more}, which only UMS writes, and no state key signed it"
                yield _flaw(layout.MAIN, each, text)

    def _of_delivery(self, commits: Sequence[Commit], main: dict[str, Commit]) -> Iterator[Flaw]:
        previous = ""
        # Also of data planes that were removed: one that comes again goes on from there.
        last: dict[PDPName, int] = {}
        for each in commits:
            decision = main.get(each.decision)
            if each.signed_by is None:
                yield _flaw(layout.DELIVERY, each, "no state key signed it")
            elif each.parents != ((previous,) if previous else ()):
                yield _flaw(layout.DELIVERY, each, "does not follow the commit before it")
            elif decision is None or decision.signed_by is None:
                yield _flaw(layout.DELIVERY, each, f"names no signed decision on {layout.MAIN}")
            else:
                serials = self.history.serials(previous, each.id)
                changes = ((name, last.get(name, before), after) for name, before, after in serials)
                for problem in fallen(changes, decision.subject):
                    yield _flaw(layout.DELIVERY, each, problem)
                last |= {name: after for name, _, after in serials if after is not None}
            previous = each.id


def _flaw(branch: str, commit: Commit, message: str) -> Flaw:
    return Flaw(branch, commit.id, commit.author, message)

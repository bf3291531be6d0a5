"""Write every object of Flux's APIs in the version that is stored now, so that older ones can be left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ums.domain.errors import ConflictError, InvalidInputError, NotFoundError
from ums.domain.stored_versions import Definition, to_migrate
from ums.ports import CustomResources

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Migrated:
    """A definition as it was found, and how many objects it has."""

    definition: Definition
    objects: int


@dataclass(frozen=True, slots=True)
class MigrateStoredVersions:
    """Rewrite objects, then say that none of the old versions is left. It may be run again at any time."""

    resources: CustomResources

    def __call__(self, *, dry_run: bool) -> Iterator[Migrated]:
        """Yield each definition that had old versions once that is done – with ``dry_run``, without doing it.

        Raises:
            UnavailableError: the cluster does not answer.
            UnauthenticatedError, ForbiddenError: it does not let us look, or write.
            InvalidInputError: it refuses to write an object as it is.
            ConflictError: a definition changes again and again.

        """
        for definition in to_migrate(self.resources.definitions()):
            yield self._migrate(definition, dry_run=dry_run)

    def _migrate(self, found: Definition, *, dry_run: bool) -> Migrated:
        definition = found
        for _ in range(_ATTEMPTS):
            if not definition.served:
                raise InvalidInputError(
                    f"{definition.name} serves no version, so nothing of it can be written once more",
                    hint="serve its stored version until this is done",
                )
            # All of them before the first is written: a list that takes too long ends. What is made meanwhile is
            # written in the version stored now.
            objects = tuple(self.resources.objects(definition))
            if dry_run:
                return Migrated(found, len(objects))
            for each in objects:
                try:
                    self.resources.rewrite(definition, each)
                except (NotFoundError, ConflictError):  # it is gone, or somebody else just wrote it
                    continue
            try:
                self.resources.trim(definition)
            except ConflictError:
                definition = self.resources.definition(definition.name)
                if definition.outdated:
                    continue
            return Migrated(found, len(objects))
        raise ConflictError(f"{found.name} changed again and again while its objects were written", hint="try again")

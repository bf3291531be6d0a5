"""Custom resources that remember in which version each object is stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ums.domain.errors import ConflictError, NotFoundError
from ums.domain.stored_versions import Definition, StoredObject


@dataclass
class MemoryCustomResources:
    """A small API server.

    Attributes:
        known: definitions, by name.
        stored: for each definition the version that each of its objects is stored in.
        restless: how often a definition changes by itself before it is trimmed.

    """

    known: dict[str, Definition] = field(default_factory=dict)
    stored: dict[str, dict[StoredObject, str]] = field(default_factory=dict)
    restless: int = 0
    vanishing: StoredObject | None = None
    busy: StoredObject | None = None

    def define(self, definition: Definition, **objects: str) -> None:
        """Add a definition, and objects by the version that each is stored in."""
        self.known[definition.name] = definition
        self.stored[definition.name] = {StoredObject("apps", name): version for name, version in objects.items()}

    def definitions(self) -> Iterator[Definition]:
        """Yield every definition."""
        yield from self.known.values()

    def definition(self, name: str) -> Definition:
        """Return a definition."""
        return self.known[name]

    def objects(self, definition: Definition) -> Iterator[StoredObject]:
        """Yield every object."""
        yield from self.stored[definition.name]

    def rewrite(self, definition: Definition, stored: StoredObject) -> None:
        """Store an object in the version of today."""
        objects = self.stored[definition.name]
        if stored == self.vanishing:
            objects.pop(stored, None)
            raise NotFoundError(f"{stored.name} is gone")
        objects[stored] = self.known[definition.name].storage
        if stored == self.busy:
            raise ConflictError(f"{stored.name} was written")

    def trim(self, definition: Definition) -> None:
        """Forget old versions, as the real one does: whether or not an object is still stored in one."""
        now = self.known[definition.name]
        if self.restless:
            self.restless -= 1
            self.known[definition.name] = replace(now, revision=f"{now.revision}'")
            raise ConflictError("it changed")
        if now.revision != definition.revision:
            raise ConflictError("it changed")
        self.known[definition.name] = replace(now, stored=(definition.storage,))

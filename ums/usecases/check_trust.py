"""Check a release of bundle ``trust``: that it brings what trust.yaml says, and that nobody is left without a key."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ums.domain.digest import Digest
from ums.domain.errors import IntegrityError, Reason, RefusedError
from ums.domain.release import Release
from ums.domain.trust import TRUST, Trusted
from ums.domain.trusting import newest_trust, number_of, render_trust, trust_problems
from ums.domain.world import World
from ums.ports import Registry
from ums.usecases.verify import read_component

MAX_CONTENT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Keys:
    """What the service knows of keys; it has none but the state key.

    Attributes:
        state_key: the public half of that which commits are signed with (OpenSSH form).
        trust_content: returns the digest that the uncompressed layer of some objects has.
        check_release_key, check_state_key: raise ``InvalidInputError`` where a text is no public key of that kind.

    """

    state_key: str
    trust_content: Callable[[Sequence[Mapping[str, Any]]], Digest]
    check_release_key: Callable[[str], None]
    check_state_key: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CheckTrust:
    """Look at one before it enters the catalog; its signatures were verified already."""

    registry: Registry
    keys: Keys

    def __call__(self, world: World, release: Release, signed_by: Collection[str]) -> Trusted:
        """Return the keys that it brings.

        Raises:
            RefusedError: names all that speaks against it.
            IntegrityError: what the registry holds is not one archive.

        """
        reasons = list(trust_problems(world, release, signed_by, state_key=self.keys.state_key))
        trusted = world.trust.trusted
        if not reasons:
            wanted = self.keys.trust_content(render_trust(trusted, world.settings, number_of(release.version)))
            if self._found(world, release) != wanted:
                text = "it does not hold what trust.yaml and this version of UMS make of it"
                reasons.append(Reason("trust", text, None, "a publisher (ums keys publish)"))
        if reasons:
            raise RefusedError(f"{release.name} is not let into the catalog", tuple(reasons))
        return trusted

    def replaces_guard(self, world: World) -> bool:
        """Return whether this version of UMS, or ums.yaml, makes other rules than the newest release brought."""
        newest = newest_trust(world)
        if newest is None:
            return False  # what bootstrap brought is not known
        objects = render_trust(world.trusted_by(newest), world.settings, number_of(newest))
        return self.keys.trust_content(objects) != world.entry(TRUST, newest).release.components[0].content_digest

    def _found(self, world: World, release: Release) -> Digest:
        """Return the digest of what the registry really holds, not of what the release says it does.

        Raises:
            IntegrityError: it is not the one archive that Flux would apply.

        """
        component = release.components[0]
        repository = world.settings.registry / TRUST / component.name
        layer, found = read_component(self.registry, repository, TRUST, component), hashlib.sha256()
        with self.registry.open_blob(repository, layer) as blob, gzip.open(blob) as content:
            try:
                found.update(content.read(MAX_CONTENT_BYTES))
            except (OSError, EOFError, zlib.error) as error:
                raise IntegrityError(f"the layer of {release.name} is no gzip archive: {error}") from error
        return Digest.parse(f"sha256:{found.hexdigest()}")

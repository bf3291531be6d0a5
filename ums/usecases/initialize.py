"""Initialize: seed a release repo with settings, trust and channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from string import Template
from textwrap import indent

from ums.domain import layout
from ums.domain.errors import ConflictError, InvalidInputError
from ums.domain.instants import duration_text
from ums.domain.linting import accept
from ums.domain.oci import Repository
from ums.domain.trust import Trusted, TrustPolicy
from ums.domain.world import Base, Decision, Document, FleetSettings, Raw, Topology, World
from ums.ports import Clock, ReleaseRepo
from ums.usecases.set_policy import ParsePolicy


@dataclass(frozen=True, slots=True)
class Seed:
    """What a new release repo is told.

    Attributes:
        signers: public release keys (PEM) by name.
        state_keys: the service's and the offline one, in OpenSSH's form.

    """

    url: str
    registry: Repository
    signers: Mapping[str, str]
    state_keys: tuple[str, ...]
    plain_http: bool
    registry_login: bool
    topology: Topology
    interval: timedelta
    root_timeout: timedelta
    validity: timedelta


@dataclass(frozen=True, slots=True)
class Initialize:
    """Write the first commit."""

    release_repo: ReleaseRepo
    clock: Clock
    parse_policy: ParsePolicy

    def __call__(self, templates: Mapping[str, str], seed: Seed, *, actor: str) -> Base:
        """Fill in the templates (by path) and commit them.

        Raises:
            ConflictError: the release repo has commits already.
            InvalidInputError: a channel's policy is wrong, or could never let anything pass.

        """
        values = _values(seed)
        files = {path: Template(text).safe_substitute(values).encode() for path, text in templates.items()}
        files |= self._policies_in_force(seed, files)
        kept = (layout.SETTINGS, layout.TRUST, layout.ACCESS)
        files |= {layout.in_force(path): files[path] for path in kept if path in files}
        decision = Decision(
            subject="ums: Initialize the release repo",
            action="init",
            actor=actor,
            reason="first commit",
            at=self.clock.now(),
            main={
                **{path: Raw(content) for path, content in files.items()},
                layout.TRUST_AT_BOOTSTRAP: Document(Trusted(seed.signers, seed.state_keys).to_dict()),
            },
        )
        try:
            return self.release_repo.commit(decision, base=Base())
        except ConflictError:
            world = self.release_repo.read()
            if world.trust.state_keys == seed.state_keys:
                return world.base
            raise

    def _policies_in_force(self, seed: Seed, files: Mapping[str, bytes]) -> dict[str, bytes]:
        policies = {
            name: self.parse_policy(content, path)
            for path, content in files.items()
            if (name := PurePosixPath(path).parent.name) and path == layout.channel_policy(name)
        }
        nowhere = World(Base(), FleetSettings(seed.url, seed.registry), TrustPolicy({}, {}, ()))
        _, refused = accept(nowhere, policies, self.clock.now())
        if refused:
            problems = [f"{name}: {problem}" for name, found in refused.items() for problem in found]
            raise InvalidInputError(f"these channels could never work: {'; '.join(problems)}")
        return {layout.channel_policy_in_force(name): policy.source for name, policy in policies.items()}


def _values(seed: Seed) -> dict[str, str]:
    signers = "".join(f"  {name}:\n    key: |\n{indent(key.strip(), ' ' * 6)}\n" for name, key in seed.signers.items())
    return {
        "layout": str(layout.SCHEMA),
        "url": seed.url,
        "registry": str(seed.registry),
        "plain_http": str(seed.plain_http).lower(),
        "registry_login": str(seed.registry_login).lower(),
        "topology": str(seed.topology),
        "interval": duration_text(seed.interval),
        "root_timeout": duration_text(seed.root_timeout),
        "validity": duration_text(seed.validity),
        "signers": f"signers:\n{signers}",
        "signer_names": ", ".join(seed.signers),
        "state_keys": "".join(f"  - {key}\n" for key in seed.state_keys),
    }

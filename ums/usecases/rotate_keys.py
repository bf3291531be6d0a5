"""Say in trust.yaml who may sign from now on; a release of bundle ``trust`` then tells data planes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ums.domain import layout
from ums.domain.errors import InvalidInputError, RefusedError
from ums.domain.names import check_name
from ums.domain.trust import KeylessSigner, KeySigner, Signatory, SigningRule, Trusted, TrustPolicy
from ums.domain.trusting import stranded_by
from ums.domain.world import Document, World, edited
from ums.usecases.check_trust import Keys
from ums.usecases.instruct import Why
from ums.usecases.record import Change, Outcome, Record, unchanged


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What is to be otherwise.

    Attributes:
        add: new release keys (PEM, SPKI) by name …
        like: … which may sign what this signer may; it may be empty where all bundles have the same signers.
        drop: names of signers.
        add_state_keys, drop_state_keys: OpenSSH's one-line form.

    """

    add: Mapping[str, str] = field(default_factory=dict)
    like: str = ""
    drop: Collection[str] = ()
    add_state_keys: Collection[str] = ()
    drop_state_keys: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class RotateKeys:
    """Change trust.yaml, and leave what else stands there as people wrote it."""

    record: Record
    keys: Keys

    def __call__(self, change: KeyChange, why: Why, *, dry_run: bool = False) -> Outcome:
        """Add keys and drop others; what is so already changes nothing.

        Raises:
            ForbiddenError: the identity is no admin without limits.
            InvalidInputError: trust.yaml is wrong, there is no such signer or key, a name is taken by another key, a
                rule would be left without enough signers, or a reason is missing.
            RefusedError: a release in use would be left without a signature by a key that remains.

        """
        why.by.require_admin()
        for name, key in change.add.items():
            check_name(name, "name of a signer")
            self.keys.check_release_key(key)
        for key in change.add_state_keys:
            self.keys.check_state_key(key)
        if self.keys.state_key in change.drop_state_keys:
            raise InvalidInputError(
                "this service signs with that state key", hint="give it another first: ums keys rotate-state"
            )

        def apply(world: World, now: datetime) -> Change:
            why.given(now)
            before = world.trust
            after = _dropped(_added(before, change), change)
            if after == before:
                return unchanged(world)
            world.require_valid(layout.TRUST)
            dropped = before.trusted.release_keys.keys() - after.trusted.release_keys.keys()
            if dropped and (reasons := stranded_by(world, after.trusted)):
                raise RefusedError(f"{' and '.join(sorted(dropped))} cannot be dropped yet", reasons)
            files = edited(layout.TRUST, _edits(before, after))
            noted = note_trusted(Change(replace(world, trust=after), files), before.trusted)
            return noted if world.planes else _tell_at_bootstrap(noted, change)

        return self.record(
            apply,
            subject="ums: Change who may sign",
            action="rotate-keys",
            by=why.by,
            reason=why.reason,
            dry_run=dry_run,
        )


def note_trusted(change: Change, trusted: Trusted) -> Change:
    """Write down which keys data planes know, unless that stands there; from now on, trust.yaml may say otherwise."""
    if change.world.at_bootstrap is not None:
        return change
    files = {**change.files, layout.TRUST_AT_BOOTSTRAP: Document(trusted.to_dict())}
    return replace(change, world=replace(change.world, at_bootstrap=trusted), files=files)


def _tell_at_bootstrap(change: Change, keys: KeyChange) -> Change:
    """Let bootstrap bring new keys, while there is no data plane that could lack them."""
    known = change.world.at_bootstrap
    if known is None or not (keys.add or keys.add_state_keys):
        return change
    state_keys = dict.fromkeys((*known.state_keys, *keys.add_state_keys))
    trusted = Trusted({**known.release_keys, **keys.add}, tuple(state_keys))
    files = {**change.files, layout.TRUST_AT_BOOTSTRAP: Document(trusted.to_dict())}
    return replace(change, world=replace(change.world, at_bootstrap=trusted), files=files)


def _added(before: TrustPolicy, change: KeyChange) -> TrustPolicy:
    for name, key in change.add.items():
        known = before.signers.get(name)
        if known is not None and not (isinstance(known, KeySigner) and known.public_key.strip() == key.strip()):
            raise InvalidInputError(f"signer {name} is somebody else already", hint="give the new key another name")
    if change.like and change.like not in before.signers:
        raise InvalidInputError(f"there is no signer {change.like}", hint=f"signers: {', '.join(before.signers)}")
    new = [name for name in change.add if name not in before.signers]
    if new and not change.like and len({frozenset(rule.signers) for rule in before.rules.values()}) > 1:
        raise InvalidInputError(
            f"which bundles may {' and '.join(new)} sign? Not all have the same signers",
            hint="name the signer whose place it takes: --like NAME",
        )
    signers = {**before.signers, **{name: KeySigner(name, change.add[name]) for name in new}}
    rules = {
        bundle: SigningRule((*rule.signers, *new), rule.threshold) if change.like in {"", *rule.signers} else rule
        for bundle, rule in before.rules.items()
    }
    more = [key for key in change.add_state_keys if key not in before.state_keys]
    return TrustPolicy(signers, rules, (*before.state_keys, *more))


def _dropped(before: TrustPolicy, change: KeyChange) -> TrustPolicy:
    for name in change.drop:
        if name not in before.signers:
            raise InvalidInputError(f"there is no signer {name}", hint=f"signers: {', '.join(before.signers)}")
    for key in change.drop_state_keys:
        if key not in before.state_keys:
            raise InvalidInputError(f"{key:.60} is no state key", hint="ums keys status shows those there are")
    rules = {}
    for bundle, rule in before.rules.items():
        left = tuple(name for name in rule.signers if name not in change.drop)
        if len(left) < rule.threshold:
            raise InvalidInputError(
                f"bundle {bundle} would demand {rule.threshold} signatures of {len(left)} signers",
                hint="add a signer with --add first, or lower the threshold in trust.yaml",
            )
        rules[bundle] = SigningRule(left, rule.threshold)
    state_keys = tuple(key for key in before.state_keys if key not in change.drop_state_keys)
    if not state_keys:
        raise InvalidInputError("no state key would be left", hint="add one with --add-state-key first")
    return TrustPolicy(
        {name: each for name, each in before.signers.items() if name not in change.drop}, rules, state_keys
    )


def _edits(before: TrustPolicy, after: TrustPolicy) -> dict[str, Any]:
    """Return the top-level fields of trust.yaml that differ, as they are to be."""
    old, new = _fields(before), _fields(after)
    return {name: value for name, value in new.items() if old[name] != value}


def _fields(policy: TrustPolicy) -> dict[str, Any]:
    return {
        "signers": {name: _signer(each) for name, each in policy.signers.items()},
        "bundles": {
            bundle: {"signers": list(rule.signers), "threshold": rule.threshold}
            for bundle, rule in policy.rules.items()
        },
        "stateKeys": list(policy.state_keys),
    }


def _signer(signer: Signatory) -> dict[str, str]:
    match signer:
        case KeySigner():
            return {"key": signer.public_key}
        case KeylessSigner():
            return signer.to_dict()

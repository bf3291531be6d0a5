"""What replaces the guard, and what it takes in which cluster: asked of a real API server, without Flux."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.guarded import KEYS, SETTINGS, GuardedApi, changed, rendered
from ums.domain.guard import GUARD
from ums.domain.trusting import render_trust

ASKED = {("Role", "ums-root"), ("Secret", "ums-release-keys"), ("Secret", "ums-state-keys"), ("ConfigMap", "ums-trust")}
"""What Kubernetes asks a policy about. It asks none about policies: these come with the others, or not at all."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedApi]:
    """Return a guarded API that has taken release 7 of bundle trust."""
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        running.apply_all(*trust(7))
        yield running


def trust(number: int, guard: int = GUARD) -> list[dict[str, Any]]:
    """Return the objects of a release, as a version of UMS renders them."""
    objects = copy.deepcopy(render_trust(KEYS, SETTINGS, number))
    for each in objects:
        each["metadata"]["annotations"]["ums/trust"] = f"{number}.{guard}"
    return objects


def refused(api: GuardedApi, objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Return what may not be applied, by whoever may do anything."""
    found = set()
    for each in objects:
        apply = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
        said = api.kubectl(*apply, stdin=yaml.safe_dump(each), check=False)
        if "ums-guard" in said and "denied request" in said:
            found.add((each["kind"], each["metadata"]["name"]))
    return found


@pytest.mark.parametrize(
    ("number", "guard", "what"),
    [
        (6, GUARD, ASKED),
        (6, GUARD + 1, ASKED),
        (7, GUARD - 1, ASKED),
        (7, GUARD, set()),
        (7, GUARD + 1, set()),
        (8, GUARD, set()),
        (8, GUARD - 1, set()),
    ],
)
def test_keys_and_guard_go_forward_alone(api: GuardedApi, number: int, guard: int, what: set[tuple[str, str]]) -> None:
    """Whoever applies them: a newer release, or the same one again by an UMS that is not older."""
    assert refused(api, trust(number, guard)) == what


def test_a_version_is_not_left_out(api: GuardedApi) -> None:
    """What has one is not replaced by what has none: by an UMS from before there was one."""
    objects = trust(7)
    for each in objects:
        del each["metadata"]["annotations"]["ums/trust"]
        each["metadata"]["annotations"]["other"] = "x"
    role = next(each for each in objects if each["kind"] == "Role")
    said = api.kubectl("replace", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(role), check=False)
    assert "older version of UMS" in said


def test_bootstrap_may_be_applied_again(api: GuardedApi) -> None:
    """By the kubectl of an administrator, on top of what a release brought."""
    text = yaml.safe_dump_all(trust(7))
    api.kubectl("apply", "-f", "-", stdin=text)
    api.kubectl("apply", "-f", "-", stdin=text)


@pytest.mark.parametrize(
    ("sealed", "taken"), [("true", False), (None, False), ("False", False), ("", False), ("false", True)]
)
def test_a_cluster_takes_values_by_git_where_bootstrap_opened_it_alone(
    tmp_path_factory: pytest.TempPathFactory, sealed: str | None, *, taken: bool
) -> None:
    """Nothing but ``false`` opens it."""
    with GuardedApi(tmp_path_factory.mktemp("api"), sealed=sealed) as running:
        made = changed(rendered()["content of chart"], ("spec", "values"), {"image": "evil"})
        said = running.ask(made)
        assert (said == "") is taken, said
        assert taken or "this cluster is sealed" in said


def test_a_kustomization_stays_what_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As a wrapper, the one that applies manifests would read another source, and prune what it applied."""
    objects = rendered()
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        content, wrapper = objects["content of manifests"], copy.deepcopy(objects["wrapper of chart"])
        name = content["metadata"]["name"]
        wrapper["metadata"]["name"] = name
        wrapper["spec"]["path"] = f"./pdps/acme/prod/platform/{name.removeprefix('platform-')}/1.0.0"
        wrapper["spec"]["healthChecks"][0]["name"] = name
        assert running.ask(wrapper) == ""
        assert running.ask(content, dry_run=False) == ""
        assert "another kind of source" in running.ask(wrapper)


@pytest.mark.parametrize("field", ["releaseName", "targetNamespace", "storageNamespace"])
def test_a_release_stays_where_it_is(tmp_path_factory: pytest.TempPathFactory, field: str) -> None:
    """Flux would uninstall it and, where somebody else's release has the new name, take that one over."""
    made = rendered()["content of chart"]
    with GuardedApi(tmp_path_factory.mktemp("api")) as running:
        assert running.ask(made, dry_run=False) == ""
        moved = changed(made, ("spec", field), "theirs")
        if field == "targetNamespace":
            moved = changed(moved, ("spec", "storageNamespace"), "theirs")
        assert "may not be moved" in running.ask(moved)

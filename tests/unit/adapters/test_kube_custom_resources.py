"""Custom resources, on a server that speaks TLS and answers what a test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.adapters.test_kube_reader import Kube, running_kube
from tests.unit.domain.test_stored_versions import RELEASES
from ums.adapters.kube_custom_resources import KubeCustomResources
from ums.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UmsError,
    UnavailableError,
)
from ums.domain.stored_versions import StoredObject

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
OBJECTS = "/apis/helm.toolkit.fluxcd.io/v2/helmreleases"
CRD: dict[str, Any] = {
    "metadata": {"name": RELEASES.name, "resourceVersion": "7"},
    "spec": {
        "group": RELEASES.group,
        "names": {"plural": "helmreleases"},
        "versions": [
            {"name": "v2beta2", "served": True, "storage": False},
            {"name": "v2", "served": True, "storage": True},
        ],
    },
    "status": {"storedVersions": ["v2beta2", "v2"]},
}


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[Kube]:
    """Return an API that knows one definition."""
    with running_kube(tmp_path) as running:
        running.answers[CRDS] = [{"items": [CRD]}]
        running.answers[f"{CRDS}/{RELEASES.name}"] = [CRD]
        yield running


def resources(kube: Kube) -> KubeCustomResources:
    """Return what asks it."""
    return KubeCustomResources(kube.url, "a-token", kube.authorities)


def with_versions(*versions: tuple[str, bool, bool]) -> dict[str, Any]:
    """Return the definition with other versions: name, served, storage."""
    made = [{"name": name, "served": served, "storage": storage} for name, served, storage in versions]
    return {**CRD, "spec": {**CRD["spec"], "versions": made}}


def test_a_definition_is_read_as_it_is(kube: Kube) -> None:
    """Alone and in the list."""
    assert list(resources(kube).definitions()) == [RELEASES]
    assert resources(kube).definition(RELEASES.name) == RELEASES


@pytest.mark.parametrize(
    ("versions", "served"),
    [
        ([("v1", True, False), ("v2", True, True)], "v2"),
        ([("v1", True, False), ("v2", False, True)], "v1"),
        ([("v1", False, True)], ""),
    ],
)
def test_objects_are_asked_for_in_a_version_that_is_served(
    kube: Kube, versions: list[tuple[str, bool, bool]], served: str
) -> None:
    """In the stored one if it is."""
    kube.answers[f"{CRDS}/{RELEASES.name}"] = [with_versions(*versions)]
    assert resources(kube).definition(RELEASES.name).served == served


def test_objects_are_listed_by_name_page_by_page(kube: Kube) -> None:
    """Their content is not asked for."""
    pages = [[{"metadata": {"name": "a", "namespace": "x"}}], [{"metadata": {"name": "b"}}]]
    kube.answers[OBJECTS] = [{"metadata": {"continue": "1"}, "items": pages[0]}, {"metadata": {}, "items": pages[1]}]
    assert list(resources(kube).objects(RELEASES)) == [StoredObject("x", "a"), StoredObject("", "b")]
    assert all("PartialObjectMetadataList" in each for each in kube.accepted)


def test_an_object_is_written_by_a_change_that_is_none(kube: Kube) -> None:
    """So that nothing that somebody else writes is taken back."""
    resources(kube).rewrite(RELEASES, StoredObject("x", "a"))
    resources(kube).rewrite(RELEASES, StoredObject("", "b"))
    assert kube.patched == [
        ("/apis/helm.toolkit.fluxcd.io/v2/namespaces/x/helmreleases/a", {}),
        (f"{OBJECTS}/b", {}),
    ]


def test_the_list_is_trimmed_only_of_the_definition_that_was_read(kube: Kube) -> None:
    """By its revision, which the API server compares."""
    resources(kube).trim(RELEASES)
    change = {"metadata": {"resourceVersion": "7"}, "status": {"storedVersions": ["v2"]}}
    assert kube.patched == [(f"{CRDS}/{RELEASES.name}/status", change)]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidInputError),
        (429, UnavailableError),
        (500, UnavailableError),
    ],
)
def test_a_refusal_says_what_the_server_says(kube: Kube, code: int, kind: type[UmsError]) -> None:
    """And each is what it is; who lacks a right is told which."""
    path = f"{CRDS}/{RELEASES.name}/status"
    kube.statuses[path] = code
    kube.answers[path] = [{"message": "because"}]
    with pytest.raises(kind, match=str(code)) as caught:
        resources(kube).trim(RELEASES)
    assert ("because" in caught.value.message) is (code not in {429, 500})
    assert ("customresourcedefinitions" in caught.value.hint) is (kind is ForbiddenError)


@pytest.mark.parametrize("data", [{}, {"metadata": 5}, with_versions(("v1", True, False))])
def test_what_is_no_definition_is_not_believed(kube: Kube, data: dict[str, Any]) -> None:
    """Whatever is wrong with it."""
    kube.answers[f"{CRDS}/x"] = [data]
    kube.answers[CRDS] = [{"items": [data]}]
    with pytest.raises(UnavailableError):
        resources(kube).definition("x")
    with pytest.raises(UnavailableError):
        list(resources(kube).definitions())


def test_a_refusal_in_no_words_is_one_all_the_same(kube: Kube) -> None:
    """Whatever stands between us and the server answered."""
    for content in (b"<html>", b"[]", json.dumps({"message": 5}).encode()):
        kube.statuses[f"{CRDS}/x"] = 403
        kube.answers[f"{CRDS}/x"] = [content]
        with pytest.raises(ForbiddenError):
            resources(kube).definition("x")

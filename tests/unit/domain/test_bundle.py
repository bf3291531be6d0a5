"""What a bundle may say, and what it may not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ums.domain.bundle import (
    MAX_OBJECT_NAME,
    BundleSpec,
    ComponentKind,
    ComponentSpec,
    check_components,
    check_image_lock,
    split_image,
)
from ums.domain.digest import Digest
from ums.domain.errors import InvalidInputError
from ums.domain.oci import Reference
from ums.domain.version import Version

DIGEST = Digest.of(b"image")


def chart(name: str, needs: tuple[str, ...] = ()) -> ComponentSpec:
    """Return a chart component."""
    return ComponentSpec(name, ComponentKind.CHART, f"charts/{name}", namespace=name, needs=needs)


def test_needs_order_components_whatever_their_order_in_the_file() -> None:
    """A component may need one that is listed after it."""
    spec = BundleSpec("platform", (chart("gateway", ("cilium",)), chart("cilium")))
    assert [each.name for each in spec.components] == ["gateway", "cilium"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: BundleSpec("platform", ()), "has no components"),
        (lambda: BundleSpec("Platform", (chart("a"),)), "not a valid bundle name"),
        (lambda: BundleSpec("platform", (chart("a"), chart("a"))), "lists a twice"),
        (lambda: BundleSpec("platform", (chart("a", ("b",)),)), "needs b, which bundle platform does not have"),
        (lambda: BundleSpec("platform", (chart("a", ("a",)),)), "in a circle: a -> a"),
        (
            lambda: BundleSpec("platform", (chart("a", ("b",)), chart("b", ("c",)), chart("c", ("a",)))),
            "in a circle: ",
        ),
        (lambda: BundleSpec("platform", (chart("a"),), removes=("a",)), "both a component and listed under removes"),
        (lambda: chart("A"), "not a valid component name"),
        (
            lambda: ComponentSpec("a", ComponentKind.MANIFESTS, "manifests", namespace="a"),
            "manifests carry no version",
        ),
        (
            lambda: ComponentSpec("a", ComponentKind.CHART, Reference.parse("registry.example.com/a:1"), namespace="a"),
            "has no digest",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(make: Callable[[], object], says: str) -> None:
    """The refusal names what does not fit."""
    with pytest.raises(InvalidInputError, match=says):
        make()


def test_together_names_fit_a_label() -> None:
    """Bundle and component share the room that Kubernetes gives to one label."""
    bundle = "b" * 30
    fits, too_long = "c" * (MAX_OBJECT_NAME - 31), "c" * (MAX_OBJECT_NAME - 30)
    check_components(bundle, {fits: ()}, ())
    with pytest.raises(InvalidInputError, match="longer than"):
        check_components(bundle, {too_long: ()}, ())


def test_manifests_with_a_version_are_fine() -> None:
    """Manifests carry the version that the bundle gives them."""
    spec = ComponentSpec("a", ComponentKind.MANIFESTS, "manifests", namespace="a", version=Version("1.0.0"))
    assert str(spec.version) == "1.0.0"


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("nginx", ("nginx", None)),
        ("localhost:5000/nginx:1.27", ("localhost:5000/nginx:1.27", None)),
        (f"nginx:1.27@{DIGEST}", ("nginx:1.27", DIGEST)),
    ],
)
def test_an_image_has_a_digest_or_not(image: str, expected: tuple[str, Digest | None]) -> None:
    """A port or a tag is no digest."""
    assert split_image(image) == expected


def test_the_image_lock_names_every_loose_image() -> None:
    """All images without a digest are named at once, each once."""
    check_image_lock("gateway", [f"router@{DIGEST}"])
    with pytest.raises(InvalidInputError, match=r"component gateway .*: adaptor, router:1$"):
        check_image_lock("gateway", ["router:1", f"enforcer@{DIGEST}", "router:1", "adaptor"])


def test_half_a_digest_is_refused() -> None:
    """An image whose digest cannot be read is wrong, not loose."""
    with pytest.raises(InvalidInputError):
        check_image_lock("gateway", ["router@sha256:abc"])

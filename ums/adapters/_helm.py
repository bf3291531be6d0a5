"""Charts as Helm sees them: which files there are, how values merge, and – with the binary – what is rendered."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ums.adapters._archive import MAX_FILE_BYTES, pack, unpack
from ums.adapters._objects import read_objects
from ums.adapters._yaml import dump, load
from ums.domain.errors import InvalidInputError
from ums.domain.version import Version

MAX_RENDERING_BYTES = 4 << 20
TIMEOUT_SECONDS = 60
_MAX_COMPLAINT = 600
MAX_SUBCHARTS = 200
BOM = b"\xef\xbb\xbf"
"""A byte order mark, which Helm drops where a file begins with it."""
_DEFAULT_RULES = ("templates/.?*",)
_SUBCHART = re.compile(r"((?:charts/[^/]+/)*charts/[^/._][^/]*)\.tgz")
_DEFINITIONS = re.compile(r"(?:charts/[^/]+/)*crds/.*\.(?:yaml|yml|json)", re.IGNORECASE)
_REVISION = re.compile(rb"[$\w.]*\.Release\.Revision\b")
_LOOKUP = re.compile(rb"(?<![\w.$-])lookup(?=[ \t])")
_API_SERVED = re.compile(rb"[$\w.]*\.APIVersions\.Has\b")
_TESTS = {"test", "test-success"}


class _RefusedError(InvalidInputError):
    """Helm itself does not render a chart."""


def without_ignored(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a chart folder's files as ``helm package`` would take them.

    Raises:
        InvalidInputError: ``.helmignore`` has a rule that Helm refuses too.

    """
    text = files.get(".helmignore", b"").decode(errors="replace")
    rules = [rule for line in text.splitlines() if (rule := line.strip()) and not rule.startswith("#")]
    if any("**" in rule for rule in rules):
        raise InvalidInputError(".helmignore has a rule with **, which Helm does not know", hint="name each folder")
    return {path: content for path, content in files.items() if not _is_ignored(path, (*rules, *_DEFAULT_RULES))}


def _is_ignored(path: str, rules: Iterable[str]) -> bool:
    parts = path.split("/")
    return any(
        _matches(rule, parts[:end], is_folder=end < len(parts)) for end in range(1, len(parts) + 1) for rule in rules
    )


def _matches(rule: str, parts: list[str], *, is_folder: bool) -> bool:
    """Return whether one rule leaves out a file or folder.

    To Helm, ``!x`` leaves out all that is not ``x``, unlike in Git's ignore files.
    """
    pattern = rule.removeprefix("!").replace("[^", "[!")
    if pattern.endswith("/") and not is_folder:
        return rule.startswith("!")
    pattern = pattern.removesuffix("/")
    if "/" in pattern:
        wanted = pattern.removeprefix("/").split("/")
        found = len(wanted) == len(parts) and all(map(fnmatchcase, parts, wanted))
    else:
        found = fnmatchcase(parts[-1], pattern)
    return found is not rule.startswith("!")


def without_top(files: Mapping[str, bytes], what: str) -> dict[str, bytes]:
    """Return a packed chart's files without the folder that all of them are in.

    Raises:
        InvalidInputError: it is no packed chart.

    """
    tops = {path.split("/", 1)[0] for path in files}
    if len(tops) != 1 or f"{next(iter(tops), '')}/Chart.yaml" not in files:
        raise InvalidInputError(f"{what} is not a packed Helm chart")
    return {path.split("/", 1)[1]: content for path, content in files.items() if "/" in path}


def with_subcharts(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a chart's files with the charts that are packed in it unpacked, which is the same to Helm.

    What other readers of archives could find in them – links, other names, a second archive – is not shipped then.

    Raises:
        InvalidInputError: one is no packed chart, or stands beside a folder of its name; there are too many.

    """
    unpacked = dict(files)
    for _ in range(MAX_SUBCHARTS):
        found = next(filter(None, map(_SUBCHART.fullmatch, unpacked)), None)
        if found is None:
            return unpacked
        path, folder = found[0], found[1]
        if any(other.startswith(f"{folder}/") for other in unpacked):
            raise InvalidInputError(f"the chart has both {path} and a folder {folder}", hint="remove one of them")
        inner = without_top(unpack(unpacked.pop(path), path), path)
        unpacked.update({f"{folder}/{name}": content for name, content in inner.items()})
    raise InvalidInputError(f"the chart has more than {MAX_SUBCHARTS} packed charts in it")


def crds(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Return the objects in a chart's folders ``crds``, which are applied as they are, whatever their kind.

    Raises:
        SpecError: a file cannot be read, or is read differently by other readers.

    """
    return [
        each
        for path, content in sorted(files.items())
        if _DEFINITIONS.fullmatch(path)
        for each in read_objects(content.removeprefix(BOM), path, max_bytes=MAX_FILE_BYTES)
    ]


def with_values(files: Mapping[str, bytes], values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a chart's files with ``values`` merged into its own; without any, byte for byte as they are.

    Raises:
        InvalidInputError: the chart's values are no mapping.

    """
    if not values:
        return dict(files)
    defaults = load(files.get("values.yaml", b""), "values.yaml") or {}
    if not isinstance(defaults, dict):
        raise InvalidInputError("the chart's values.yaml is no mapping, so nothing can be merged into it")
    return {**files, "values.yaml": dump(_merge(defaults, values))}


def _merge(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as Helm does: mappings deeply, ``null`` deletes, everything else replaces.

    A ``null`` without a default here may delete one of a chart further in, so it stays.
    """
    merged = dict(defaults)
    for key, value in values.items():
        if value is None and key in merged:
            del merged[key]
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def render(
    helm: str,
    files: Mapping[str, bytes],
    *,
    chart: str,
    release: str,
    namespace: str,
    kubernetes: Sequence[Version] = (),
) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects that ``helm template`` makes of a chart: first those of an installation, tests left out.

    Then those of an installation on each version of ``kubernetes``. Then, as far as Helm renders the chart so, those of
    an upgrade, those where every API that its templates ask for is served, or none, and those where each ``lookup``
    finds an object. A template can depend on still more, such as the time.

    Raises:
        InvalidInputError: Helm refuses the chart, takes too long, or makes too much of it; what it makes is read
            differently by other readers.

    """
    command = [helm, "template", release, "--namespace", namespace]
    yield _render(command, chart, files)
    for version in kubernetes:
        yield _render([*command, f"--kube-version={version}"], chart, files)
    for options, variant in _variants(files):
        # Charts that keep passwords refuse an upgrade where they find none.
        with contextlib.suppress(_RefusedError):
            yield _render([*command, *options], chart, variant)


def _variants(files: Mapping[str, bytes]) -> Iterator[tuple[list[str], Mapping[str, bytes]]]:
    """Yield options of ``helm template``, and files in which stands what no option says.

    That is a revision, whether APIs are served (``empty`` is false of a name), and an object that is found. Templates
    are in values and other files too, for ``tpl``.
    """
    upgraded = _edited(files, _REVISION, b"2")
    served = _edited(upgraded, _API_SERVED, b"kindIs `string`")
    existing = _edited(served, _LOOKUP, b"dict")
    yield ["--is-upgrade"], files
    if upgraded != files:
        yield ["--is-upgrade"], upgraded
    if served != upgraded:
        yield [], served
        yield [], _edited(files, _API_SERVED, b"empty")
    if existing != served:
        yield ["--is-upgrade"], existing


def _edited(files: Mapping[str, bytes], pattern: re.Pattern[bytes], text: bytes) -> dict[str, bytes]:
    return {path: pattern.sub(text, content) for path, content in files.items()}


def _render(command: Sequence[str], chart: str, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    # From the archive, as Flux does: from a folder, Helm would leave out what .helmignore names.
    layer, _ = pack({f"{chart}/{path}": content for path, content in files.items()})
    with tempfile.TemporaryDirectory(prefix="ums-chart-") as scratch:
        path = Path(scratch) / "chart.tgz"
        try:
            path.write_bytes(layer)
            output = _run([*command[:3], str(path), *command[3:]], scratch)
        except OSError as error:
            raise InvalidInputError(f"helm could not render the chart: {error.strerror}") from error
    objects = read_objects(output, f"rendering of {command[2]}", max_bytes=MAX_RENDERING_BYTES)
    return [each for each in objects if not _is_test(each)]


def _is_test(item: Mapping[str, Any]) -> bool:
    """Return whether an object is made by ``helm test`` alone, which Flux does not run.

    A hook can be a test and something else as well. Helm ignores the case of the keys that lead to it.
    """
    for name in ("metadata", "annotations"):
        if [key for key in item if key.casefold() == name] != [name] or not isinstance(item[name], dict):
            return False
        item = item[name]
    events = item.get("helm.sh/hook")
    return isinstance(events, str) and {event.strip().lower() for event in events.split(",")} <= _TESTS


def _run(command: list[str], home: str) -> bytes:
    # A home of its own: no repository, plugin or setting of this machine gets in.
    environment = {"HOME": home, "PATH": "/usr/bin:/bin"}
    with (
        tempfile.TemporaryFile() as complaint,
        subprocess.Popen(  # noqa: S603 - names are checked, and there is no shell
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaint, env=environment
        ) as process,
    ):
        timer = threading.Timer(TIMEOUT_SECONDS, process.kill)
        timer.start()
        try:
            output = process.stdout.read(MAX_RENDERING_BYTES + 1) if process.stdout else b""
            if len(output) > MAX_RENDERING_BYTES:
                process.kill()
                raise InvalidInputError(f"the chart renders to more than {MAX_RENDERING_BYTES >> 20} MiB")
            code = process.wait()
        finally:
            timer.cancel()
        complaint.seek(0)
        text = complaint.read(_MAX_COMPLAINT).decode(errors="replace").strip()
    if code < 0:
        raise InvalidInputError(f"helm was still rendering the chart after {TIMEOUT_SECONDS} seconds, or was killed")
    if code:
        raise _RefusedError(f"helm cannot render the chart: {text}", hint="see helm template and helm lint")
    return output

"""Charts as Helm sees them: what ``.helmignore`` leaves out, how values merge, and – with the binary – a rendering."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ums.adapters._yaml import dump, load, load_all
from ums.domain.errors import InvalidInputError

MAX_RENDERING_BYTES = 4 << 20
TIMEOUT_SECONDS = 60
_MAX_COMPLAINT = 600
_DEFAULT_RULES = ("templates/.?*",)


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


def render(helm: str, files: Mapping[str, bytes], *, chart: str, release: str, namespace: str) -> list[Any]:
    """Return the objects that ``helm template`` makes of a chart.

    Raises:
        InvalidInputError: Helm refuses the chart, takes too long, or makes too much of it.

    """
    with tempfile.TemporaryDirectory(prefix="ums-chart-") as scratch:
        root = Path(scratch) / chart
        try:
            for path, content in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            output = _run([helm, "template", release, str(root), "--namespace", namespace, "--skip-tests"], scratch)
        except OSError as error:
            raise InvalidInputError(f"helm could not render the chart: {error.strerror}") from error
    return load_all(output, f"rendering of {release}", max_bytes=MAX_RENDERING_BYTES)


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
        raise InvalidInputError(f"helm cannot render the chart: {text}", hint="see helm template and helm lint")
    return output

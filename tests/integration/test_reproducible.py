"""Equal input gives equal bytes, whoever builds, where and when: so that anybody can check what a publisher signed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.toolchain import find_tool
from tests.running_service import EXAMPLES, ROOT

EXAMPLE = EXAMPLES / "platform" / "1.0.0"
HELM = find_tool("helm")

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Machine:
    """What differs from one builder to the next.

    Attributes:
        backwards: files are created in the opposite order, so that the file system lists them in another.
        modified: the time of modification of all files, in seconds since 1970.

    """

    folder: str = "bundle"
    umask: int = 0o022
    backwards: bool = False
    modified: int = 1_700_000_000
    environment: dict[str, str] = field(default_factory=dict)

    def build(self, scratch: Path) -> dict[str, Any]:
        """Return what ``ums build`` says of a copy of the example."""
        copy = scratch / self.folder
        for source in sorted(EXAMPLE.rglob("*"), reverse=self.backwards):
            if source.is_file():
                target = copy / source.relative_to(EXAMPLE)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                target.chmod(0o666 & ~self.umask)
                os.utime(target, (self.modified, self.modified))
        done = subprocess.run(
            [sys.executable, "-m", "ums", "build", str(copy), "--version", "1.0.0", "-o", "json"],
            env={"PATH": os.environ["PATH"], "HOME": str(scratch), "PYTHONPATH": str(ROOT), **self.environment},
            umask=self.umask,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        built: dict[str, Any] = json.loads(done.stdout)
        return built


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a first builder says."""
    return Machine().build(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(Machine(), id="again"),
        pytest.param(Machine(folder="elsewhere/deep down/ünder"), id="folder"),
        pytest.param(Machine(umask=0o077), id="umask"),
        pytest.param(Machine(backwards=True), id="order"),
        pytest.param(Machine(modified=1), id="modified"),
        pytest.param(Machine(environment={"TZ": "Pacific/Kiritimati"}), id="time zone"),
        pytest.param(Machine(environment={"LC_ALL": "C", "PYTHONUTF8": "0"}), id="language"),
        pytest.param(Machine(environment={"PYTHONHASHSEED": "1"}), id="hash seed"),
        pytest.param(
            Machine(environment={"PATH": f"{HELM.parent if HELM else ''}:{os.environ['PATH']}"}),
            marks=pytest.mark.skipif(HELM is None, reason="helm is not built: python -m tests.e2e.toolchain helm"),
            id="with Helm",
        ),
        pytest.param(
            Machine(
                folder="x",
                umask=0o027,
                backwards=True,
                modified=2_000_000_000,
                environment={"TZ": "America/Caracas", "LANG": "tr_TR", "PYTHONHASHSEED": "7"},
            ),
            id="all at once",
        ),
    ],
)
def test_the_machine_does_not_show(machine: Machine, reference: dict[str, Any], tmp_path: Path) -> None:
    """Folder, permissions, order, times, zone, language, hash seed and Helm leave no trace in any digest."""
    assert machine.build(tmp_path) == reference


def test_the_content_does_show(reference: dict[str, Any], tmp_path: Path) -> None:
    """One byte more in one component changes that component and the release, and nothing else."""
    copy = tmp_path / "bundle"
    shutil.copytree(EXAMPLE, copy)
    with (copy / "charts" / "gateway" / "values.yaml").open("a") as values:
        values.write("\n")
    command = [sys.executable, "-m", "ums", "build", str(copy), "--version", "1.0.0", "-o", "json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    built = json.loads(done.stdout)
    before = {each["name"]: each["digest"] for each in reference["components"]}
    changed = [each["name"] for each in built["components"] if each["digest"] != before[each["name"]]]
    assert changed == ["gateway"]
    assert built["digest"] != reference["digest"]

"""What operators are told to look at is there: each metric, label, check and field of the log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.domain.test_measuring import LATER, NEW, make_two
from tests.unit.domain.worlds import given
from tests.unit.usecases.stage import Stage
from ums.adapters.prometheus_meter import PrometheusMeter
from ums.domain.channels import Request
from ums.domain.fleet import Health
from ums.domain.measuring import measure
from ums.domain.rollouts import RolloutStatus

TOP = Path(__file__).parent.parent.parent
PAGE = TOP / "docs" / "reference" / "operations.md"
ALERTS = TOP / "docker" / "prometheus" / "alerts.yaml"
DASHBOARD = TOP / "docker" / "grafana" / "dashboard.json"
_NAME = re.compile(r"\bums_[a-z_]+")
_SELECTOR = re.compile(r"\b(ums_[a-z_]+)\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)(=~|!=|=)\"([^\"]*)\"")


def exposed() -> Mapping[str, dict[str, set[str]]]:
    """Return every sample that a busy service exposes: its name, and its labels with their values."""
    meter = PrometheusMeter("test")
    for job in ("reconcile", "webhooks"):
        with meter.time_job(job):
            pass
    with meter.time_commit():
        pass
    for result in ("recorded", "unauthenticated"):
        meter.count_event(result)
    meter.count_request("api", "/healthz", "GET", 200, 0.1)
    world = make_two()
    world = world.with_channel(world.channel("stable").with_request(Request("platform", NEW, replace(given()))))
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(meter.render(measure(world, LATER)).decode()):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def base(name: str) -> str:
    """Return the name that a page uses of a sample."""
    return re.sub(r"_(bucket|count|sum)$", "", name) if not name.startswith("ums_rollout_waves") else name


def expressions() -> list[str]:
    """Return all queries of the alerts and the dashboard."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules] + [each["expr"] for panel in panels for each in panel["targets"]]


@pytest.mark.parametrize("expression", expressions())
def test_what_is_asked_for_exists(expression: str) -> None:
    """The metric, and each label that it is selected by; where labels have known values, these too."""
    there = exposed()
    names = set(_NAME.findall(expression))
    assert names <= there.keys() or expression.startswith("up{"), names - there.keys()
    known: dict[str, set[str]] = {"health": {*Health}, "status": {*RolloutStatus}}
    for name, selector in _SELECTOR.findall(expression):
        for label, how, value in _MATCHER.findall(selector):
            assert label in there[name], (name, label)
            values = known.get(label, there[name][label]) if not name.startswith("ums_http") else set()
            if label != "channel" and values:
                assert set(value.split("|")) <= values, (how, value)


def test_grouping_labels_exist() -> None:
    """A sum by a label that is not there is one sum."""
    there = exposed()
    for expression in expressions():
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            for label in labels.replace(" ", "").split(","):
                assert any(label in there[name] for name in _NAME.findall(expression)), (expression, label)


def test_alerts_say_what_they_mean() -> None:
    """A severity, and one sentence for whoever is woken."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboard_can_be_imported() -> None:
    """Panels have ids of their own, a source that is chosen, and places that do not overlap."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    assert len({(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}) == len(panels)
    assert {each["datasource"]["uid"] for each in panels} == {"${datasource}"}
    assert {each["name"] for each in dashboard["templating"]["list"]} == {"datasource", "channel"}


def test_the_page_lists_every_metric_and_label_and_no_other() -> None:
    """Whoever sees a number finds what it means."""
    text, there = PAGE.read_text(), exposed()
    ours = {base(name) for name in there if name.startswith("ums_")}
    assert {base(name) for name in _NAME.findall(text)} == ours
    for line in re.findall(r"^\| (`ums_.*)$", text, re.MULTILINE):
        names, labels = line.split("|")[:2]
        for name in _NAME.findall(names):
            found = set().union(*(set(there[each]) for each in there if base(each) == base(name)))
            assert set(re.findall(r"`(\w+)`", labels)) == found - ({"le"} if "le" not in labels else set()), name


def test_the_page_lists_every_check(tmp_path: Path) -> None:
    """And none that is not made."""
    stage = Stage(tmp_path)
    stage.services.pulse.start(LATER - given().since, stage.clock.now(), {})
    made = {each.name for each in stage.services.health.ready()} | {"files", "git-host", "release-repo-folder"}
    section = PAGE.read_text().split("## Health")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == made

"""Metrics for Prometheus: the one door to ``prometheus_client``. Each meter has its own registry; none is global."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ums.domain.errors import ConflictError
from ums.domain.measuring import SILENCE_SECONDS, Family, Measurement

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2.5, 10, 60)
_WORK_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class PrometheusMeter:
    """Implements ``ports.Meter``; ``jobs`` are those whose success is told, as 0 until there was one."""

    def __init__(
        self, version: str, *, jobs: Sequence[str] = ("reconcile",), timer: Callable[[], float] = time.perf_counter
    ) -> None:
        self._timer = timer
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Gauge("ums_build_info", "Always 1; the version is a label.", ["version"], registry=self._registry).labels(
            version
        ).set(1)
        self._commits = Histogram(
            "ums_commit_duration_seconds",
            "Time to record a decision in the release repo, by result.",
            ["result"],
            buckets=_WORK_SECONDS,
            registry=self._registry,
        )
        self._jobs = Histogram(
            "ums_job_duration_seconds",
            "Duration of each run of a job of the scheduler, by result.",
            ["job", "result"],
            buckets=_WORK_SECONDS,
            registry=self._registry,
        )
        self._last_success = Gauge(
            "ums_job_last_success_timestamp_seconds",
            "When a job last succeeded; 0 if it did not yet.",
            ["job"],
            registry=self._registry,
        )
        for job in jobs:
            self._last_success.labels(job)
        self._leads = Gauge(
            "ums_leader",
            "1 if this process runs the loop and the other jobs of which one runner is enough.",
            registry=self._registry,
        )
        self._events = Counter(
            "ums_events", "Events received from data planes, by result.", ["result"], registry=self._registry
        )
        self._requests = Counter(
            "ums_http_requests",
            "Requests answered, by surface (api, view, git, registry) and route template.",
            ["surface", "route", "method", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            "ums_http_request_duration_seconds",
            "Time until the last byte of an answer.",
            ["surface", "route"],
            buckets=_REQUEST_SECONDS,
            registry=self._registry,
        )
        self._readable = Gauge(
            "ums_fleet_readable",
            "1 if the release repo and the database could be read for this scrape; 0: nothing is told of the fleet.",
            registry=self._registry,
        )
        self._errors = Counter(
            "ums_scrape_errors", "Scrapes for which the fleet could not be measured.", registry=self._registry
        )
        self._measuring = Gauge(
            "ums_metrics_samples", "Samples that the fleet was told in, at this scrape.", registry=self._registry
        )

    @contextmanager
    def time_commit(self) -> Iterator[None]:
        """Time a commit."""
        start, result = self._timer(), "recorded"
        try:
            yield
        except ConflictError:
            result = "conflict"
            raise
        except BaseException:
            result = "failed"
            raise
        finally:
            self._commits.labels(result).observe(self._timer() - start)

    @contextmanager
    def time_job(self, name: str) -> Iterator[None]:
        """Time a run of a job."""
        start, result = self._timer(), "failed"
        try:
            yield
            result = "succeeded"
            self._last_success.labels(name).set_to_current_time()
        finally:
            self._jobs.labels(name, result).observe(self._timer() - start)

    def count_event(self, result: str) -> None:
        """Count an event."""
        self._events.labels(result).inc()

    def count_request(self, surface: str, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; methods that nobody has heard of are one, as anybody may make them up."""
        self._requests.labels(surface, route, method if method in _METHODS else "other", str(status)).inc()
        self._latency.labels(surface, route).observe(seconds)

    def tell_leader(self, *, leads: bool) -> None:
        """Keep whether this process runs the jobs."""
        self._leads.set(leads)

    def render(self, fleet: Sequence[Measurement] | None) -> bytes:
        """Return everything in the text format."""
        if fleet is None:
            self._errors.inc()
        self._readable.set(fleet is not None)
        self._measuring.set(sum(len(each.samples) for each in fleet or ()))
        told = CollectorRegistry(auto_describe=False)
        told.register(_Fleet(fleet or ()))
        return generate_latest(_WithoutBirthdays(self._registry)) + generate_latest(told)


class _WithoutBirthdays(CollectorRegistry):
    """A registry that does not tell when each of its series began: twice as many, and nobody asks."""

    def __init__(self, inner: CollectorRegistry) -> None:
        super().__init__(auto_describe=False)
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric


class _Fleet(Collector):
    def __init__(self, fleet: Sequence[Measurement]) -> None:
        self._fleet = fleet

    def describe(self) -> list[Metric]:
        """Return nothing: names are checked where they are made, and asking for them would measure twice."""
        return []

    def collect(self) -> Iterator[Metric]:
        for each in self._fleet:
            if isinstance(each, Family):
                gauge = GaugeMetricFamily(each.name, each.help, labels=each.labels)
                for labels, value in each.samples.items():
                    gauge.add_metric(labels, value)
                yield gauge
                continue
            histogram = HistogramMetricFamily(each.name, each.help, labels=each.labels)
            for labels, found in each.samples.items():
                bounds = [*(f"{bound:.1f}" for bound in SILENCE_SECONDS), "+Inf"]
                so_far = [sum(found.counts[: index + 1]) for index in range(len(bounds))]
                histogram.add_metric(labels, list(zip(bounds, so_far, strict=True)), found.total[0])
            yield histogram

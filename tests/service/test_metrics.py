from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families

from imageclef.service.metrics import BUCKETS, Metrics, Reading


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(metrics.text().decode())
    (value,) = [
        one.value for family in families for one in family.samples if (one.name, one.labels) == (name, labels)
    ]
    return value


def test_every_kind_can_be_read_back() -> None:
    metrics, odd = Metrics(Reading("imageclef_images", "Images.", lambda: 5506)), 'a"b\\c\nd'
    for status in (200, 200, 404):
        metrics.count("GET", odd, status, 0.1)
    assert sample(metrics, "imageclef_images") == 5506
    total = "imageclef_requests_total"
    assert sample(metrics, total, method="GET", route=odd, status="200") == 2
    assert sample(metrics, total, method="GET", route=odd, status="404") == 1


def test_the_histogram_adds_up() -> None:
    metrics, seconds = Metrics(), [0.001, 0.005, 0.0051, 0.3, 99.0]
    for one in seconds:
        metrics.count("POST", "/similar", 200, one)
    name = "imageclef_request_seconds"
    counted = dict(re.findall(r'_bucket{le="([^"]+)",route="/similar"} ([0-9.]+)', metrics.text().decode()))
    for bound in BUCKETS:
        assert float(counted[str(bound)]) == sum(one <= bound for one in seconds)
    assert float(counted["+Inf"]) == sample(metrics, f"{name}_count", route="/similar") == 5
    assert sample(metrics, f"{name}_sum", route="/similar") == sum(seconds)

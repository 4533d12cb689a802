from __future__ import annotations

import re

from imageclef.service.entry.metrics import BUCKETS, Metrics

SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(?:[^"\\\n]|\\.)*"(?:,[a-z]+="(?:[^"\\\n]|\\.)*")*\})? [0-9.e+-]+')


def test_every_line_is_a_sample_or_a_comment() -> None:
    metrics = Metrics((("imageclef_images", "Images.", lambda: 5506),))
    metrics.count("GET", 'a"b\\c\nd', 200, 0.1)
    for line in metrics.text().splitlines():
        assert line.startswith("# ") or SAMPLE.fullmatch(line), line
    assert "imageclef_images 5506" in metrics.text()


def test_the_histogram_adds_up() -> None:
    metrics, seconds = Metrics(), [0.001, 0.005, 0.0051, 0.3, 99.0]
    for one in seconds:
        metrics.count("POST", "/similar", 200, one)
    counted = dict(re.findall(r'_bucket\{route="/similar",le="([^"]+)"\} (\d+)', metrics.text()))
    for bound in BUCKETS:
        assert int(counted[str(bound)]) == sum(one <= bound for one in seconds)
    assert counted["+Inf"] == "5"
    assert 'imageclef_request_seconds_count{route="/similar"} 5' in metrics.text()
    assert 'imageclef_request_seconds_sum{route="/similar"} 99.311100' in metrics.text()


def test_requests_are_counted_apart() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.count("GET", "/images", status, 0.1)
    assert 'imageclef_requests_total{method="GET",route="/images",status="200"} 2' in metrics.text()
    assert 'imageclef_requests_total{method="GET",route="/images",status="404"} 1' in metrics.text()

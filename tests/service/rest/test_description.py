"""schemathesis asks whatever the description of the service allows, and some that it does not."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow
schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")

CASES = 50
"""Of each operation, with values that are valid; and as many with values that are not."""


def test_every_answer_is_as_described(client: httpx.Client) -> None:
    schema = schemathesis.openapi.from_dict(json.loads(client.get("/openapi.json").text))
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 17
    for operation in operations:
        modes = [schemathesis.GenerationMode.POSITIVE]
        if list(operation.iter_parameters()) or operation.body:
            modes.append(schemathesis.GenerationMode.NEGATIVE)
        for mode in modes:
            assert asked(operation.as_strategy(generation_mode=mode), str(client.base_url)) > 0


def asked(cases: st.SearchStrategy[Any], address: str) -> int:
    """How many cases were asked; every answer is checked."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    described = [
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    ]
    seen = 0

    @settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(cases)
    def ask(case: Any) -> None:
        nonlocal seen
        seen += 1
        case.validate_response(case.call(base_url=address), checks=[not_a_server_error, *described])

    ask()
    return seen

"""schemathesis asks whatever the description of the service allows, and some that it does not."""

from __future__ import annotations

import json

import httpx
import pytest

pytestmark = pytest.mark.slow
schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")


def test_every_answer_is_as_described(client: httpx.Client) -> None:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    schema = schemathesis.openapi.from_dict(json.loads(client.get("/openapi.json").text))
    seen: dict[str, int] = {}
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 17
    for operation in operations:
        strategy = operation.as_strategy() | operation.as_strategy(
            generation_mode=schemathesis.GenerationMode.NEGATIVE
        )

        @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.data())
        def ask(
            data: st.DataObject, strategy: st.SearchStrategy = strategy, name: str = operation.label
        ) -> None:
            case = data.draw(strategy)
            response = case.call(base_url=str(client.base_url))
            case.validate_response(response)
            seen[name] = seen.get(name, 0) + 1

        ask()
    assert len(seen) == len(operations)

"""Changes to JSON that keep it JSON: a value of another type, a key lost or doubled, a list that grows."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        0.5,
        1e308,
        float("nan"),
        float("inf"),
        2**31,
        2**63,
        10**30,
        "",
        "a",
        "\x00",
        "\n",
    ),
    *(
        "..",
        "../x",
        "/etc/hostname",
        "x" * 300,
        "\ud800",
        "C0000001",
        "\u2028",
        [],
        {},
        [[]],
        [0, 1],
        {"": ""},
        {"bytes": 0},
        "1",
    ),
)


def changed_json(rng: Random, text: bytes) -> bytes:
    """A changed copy; what is no JSON is returned as it is."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(changed_tree(rng, tree)).encode()


def changed_tree(rng: Random, tree: Any) -> Any:
    """A copy with one to three places changed."""
    whole = {"": copy.deepcopy(tree)}
    for _ in range(rng.choice((1, 1, 2, 3))):
        holder, key = rng.choice(list(_places(whole)))
        _change(rng, holder, key, list(_places(whole)))
    return whole[""]


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Every dict or list with each of its keys."""
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _change(rng: Random, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    other, other_key = rng.choice(places)
    match rng.randrange(6):
        case 0 if key != "":
            del holder[key]
        case 1 if isinstance(holder, dict) and key != "":
            holder[rng.choice(("", "x", "../x", "\x00", "a\nb", str(other_key)))] = holder.pop(key)
        case 2:
            holder[key] = copy.deepcopy(other[other_key])
        case 3 if isinstance(holder[key], int | float):
            holder[key] += rng.choice((-1, 1, 0.5))
        case 4 if isinstance(holder, list):
            holder.append(copy.deepcopy(other[other_key]))
        case _:
            holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))

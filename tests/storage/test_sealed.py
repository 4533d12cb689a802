from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageclef.storage.sealed import BrokenSeal, read_sealed, write_sealed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text().filter(lambda key: key != "seal"), JSON, max_size=4))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("sealed") / "x.json"
    write_sealed(path, value)
    assert read_sealed(path) == value
    assert [one.name for one in path.parent.iterdir()] == ["x.json"]


def test_every_changed_byte_breaks_the_seal(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_sealed(path, {"a": [1, 2.5, "text"], "b": {"c": None}})
    data = path.read_bytes()
    for place in range(len(data)):
        for mask in (1, 4, 32, 255):
            path.write_bytes(data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :])
            with pytest.raises(BrokenSeal):
                read_sealed(path)
        path.write_bytes(data[:place])
        with pytest.raises(BrokenSeal):
            read_sealed(path)
    path.write_bytes(data + b"\n")
    with pytest.raises(BrokenSeal):
        read_sealed(path)

"""Changes to bytes that make readers stumble: what disks, editors, spreadsheets and attackers do to files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

MOST_BYTES = 1 << 18
"""Longer inputs are cut: this is twice what the csv module takes for one field."""

ODD: tuple[bytes, ...] = (
    *(
        b"\xef\xbb\xbf",
        b"\x00",
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b",",
        b";",
        b"|",
        b'"',
        b"'",
        b"\\",
        b"/",
    ),
    *(
        b"../",
        b"#",
        b"=",
        b"%s",
        b"{}",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\x1b[31m",
        b"\x85",
        b"\x1c",
        b"\x0b",
    ),
    *(
        sign.encode()
        for sign in ("\u00a0", "\u2028", "\u0085", "\u202e", "\ufeff", "e\u0301", "\U0001f9b4", "\u0660")
    ),
    *(b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"null", b"true", b"9" * 20, b"9" * 5000, b"C0000001"),
)
_EDGES = (
    0,
    1,
    2,
    7,
    8,
    16,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
)
_NUMBERS = (
    b"0",
    b"-1",
    b"1",
    b"255",
    b"65536",
    b"2147483648",
    b"4294967296",
    b"18446744073709551616",
    b"1e400",
    b"0.5",
)
_TIMES = (*(1, 1, 2, 2, 3) * 8, *(10, 100) * 4, 2000, 20000, MOST_BYTES)
_BRACKETS = (b"[", b"{", b"(", b'"', b"[[", b'{"a":', b"a.", b"<", b"\n")


def mutated(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """A changed copy.

    Args:
        rng: the only source of chance.
        data: to change.
        others: inputs that parts may be taken from.
        tokens: words of the format.
    """
    for _ in range(1 + min(int(rng.expovariate(0.7)), 7)):
        data = rng.choice(_EDITS)(rng, data, others, tokens)[:MOST_BYTES]
    return data


def _slice(rng: Random, data: bytes) -> tuple[int, int]:
    """Mostly short, sometimes any."""
    start = rng.randrange(len(data) + 1)
    length = int(rng.expovariate(1 / 8)) if rng.random() < 0.8 else rng.randrange(len(data) + 1)
    return start, min(len(data), start + length)


def _flip(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    if not data:
        return data
    changed, place = bytearray(data), rng.randrange(len(data))
    changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _byte(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _integer(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """A binary number at a limit of its type."""
    size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    number = rng.choice(_EDGES) * rng.choice((1, -1)) % (1 << 8 * size)
    place = rng.randrange(len(data) + 1)
    return data[:place] + number.to_bytes(size, order) + data[place + size :]  # type: ignore[arg-type]


def _insert(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(ODD) + data[place:]


def _word(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """A word of the format, in the place of something or between."""
    start, stop = _slice(rng, data)
    return data[:start] + rng.choice(tokens or ODD) + data[rng.choice((start, stop)) :]


def _delete(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, stop = _slice(rng, data)
    return data[:start] + data[stop:]


def _repeat(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    start, stop = _slice(rng, data)
    many = min(rng.choice(_TIMES), MOST_BYTES // max(1, stop - start))
    return data[:stop] + data[start:stop] * many + data[stop:]


def _cut(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    start, stop = _slice(rng, data)
    begin, end = _slice(rng, other)
    return data[:start] + other[begin:end] + data[stop:]


def _join(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _lines(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """A line moved, doubled or lost."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _number(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    """A written number in the place of another."""
    found = list(re.finditer(rb"-?[0-9]+(\.[0-9]+)?", data))
    if not found:
        return data
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(_NUMBERS) + data[match.end() :]


def _nest(rng: Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(_BRACKETS) * rng.choice(_TIMES) + data[place:]


Edit = Callable[[Random, bytes, Sequence[bytes], Sequence[bytes]], bytes]

_EDITS: tuple[Edit, ...] = (
    *(_flip, _byte, _integer, _insert, _insert, _word, _word, _delete, _repeat),
    *(_cut, _splice, _join, _lines, _number, _nest),
)

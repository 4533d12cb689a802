"""The loop: change an input, give it to its readers, keep it if they did something new.

It runs in a forked process with limits of the kernel's, so that a reader may hang, take all memory or end the
process; the parent holds the inputs kept and what was found, and forks again.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

from tests.fuzz import limits
from tests.fuzz.limits import limit, timed
from tests.fuzz.mutation import MOST_BYTES, mutated
from tests.fuzz.target import Case, Target
from tests.fuzz.watching import Watch, place_of

_ROUND_SECONDS = 60.0
"""A process is replaced so often: what native code loses of memory adds up to no finding."""

_SHRINK_SECONDS = 5.0
_LONGEST_KEPT = 1 << 14
_TOO_SLOW = (-signal.SIGPROF, -signal.SIGALRM)


@dataclass
class Campaign:
    """What came of fuzzing a target.

    Attributes:
        executions: inputs tried.
        behaviours: different things that its readers did, in words.
        corpus: the seeds, and the inputs that made readers do something new.
        found: an input for each promise that was broken, by how.
    """

    executions: int = 0
    behaviours: set[str] = field(default_factory=set)
    corpus: list[bytes] = field(default_factory=list)
    found: dict[str, bytes] = field(default_factory=dict)


def fuzz(target: Target, seconds: float, seed: int, folder: Path, most: int = sys.maxsize) -> Campaign:
    """Fuzz a target.

    Args:
        target: what is read.
        seconds: its budget of wall-clock time.
        seed: of the changes; with a budget of executions, the same seed makes the same inputs.
        folder: for the files that are read.
        most: the budget of executions.
    """
    campaign = Campaign(corpus=target.seeds())
    ends, fork = time.monotonic() + seconds, 0
    while time.monotonic() < ends and campaign.executions < most:
        budget = min(_ROUND_SECONDS, ends - time.monotonic())
        _round(target, campaign, budget, most - campaign.executions, Random(f"{seed}/{fork}"), folder)
        fork += 1
    return campaign


def _round(target: Target, campaign: Campaign, seconds: float, most: int, rng: Random, folder: Path) -> None:
    """Fork, take what the child tells, and judge its end."""
    latest, stack = _Latest(), folder / "stack.txt"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as tell, stack.open("w") as fault:
            try:
                limit(fault)
                _Loop(target, campaign, rng, folder, latest, tell).run(seconds, most)
            except BaseException:
                traceback.print_exc(file=fault)
                fault.flush()
                os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        for line in told:
            _take(campaign, json.loads(line))
    _, status = os.waitpid(child, 0)
    campaign.executions += latest.number
    # Being watched takes time: what was too slow is tried once more without.
    if status and (broken := replay(target, latest.data, folder) or _unlike_slow(status, stack)):
        campaign.found.setdefault(broken, latest.data)


def replay(target: Target, data: bytes, folder: Path) -> str:
    """Which promise an input breaks, in words, tried in a process of its own; nothing if it breaks none."""
    stack = folder / "stack.txt"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with stack.open("w") as fault:
            limit(fault)
            os.write(writing, _tried(target, Case(data, folder)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        broken = told.read().decode()
    _, status = os.waitpid(child, 0)
    return _ending(status, stack) if status else broken


def _unlike_slow(status: int, stack: Path) -> str:
    """How a process ended, unless it was for being slow."""
    return "" if os.waitstatus_to_exitcode(status) in _TOO_SLOW else _ending(status, stack)


def _take(campaign: Campaign, message: dict[str, Any]) -> None:
    campaign.behaviours.update(message.get("behaviours", ()))
    if "kept" in message:
        campaign.corpus.append(bytes.fromhex(message["kept"]))
    if "broken" in message:
        campaign.found.setdefault(message["broken"], bytes.fromhex(message["input"]))


class _Latest:
    """The input that is being tried, where the parent finds it after the end of its child."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 16 + 2 * MOST_BYTES)

    def set(self, number: int, data: bytes) -> None:
        """The n-th input, before it is tried."""
        head = number.to_bytes(8, "little") + len(data).to_bytes(8, "little")
        self._shared[: 16 + len(data)] = head + data

    @property
    def number(self) -> int:
        """How many inputs were tried."""
        return int.from_bytes(self._shared[:8], "little")

    @property
    def data(self) -> bytes:
        """The last of them."""
        return self._shared[16 : 16 + int.from_bytes(self._shared[8:16], "little")]


def _ending(status: int, stack: Path) -> str:
    """How a process ended, and where it was."""
    code, place = os.waitstatus_to_exitcode(status), place_of(stack.read_text(errors="replace"))
    if code in _TOO_SLOW:
        return f"more than {limits.CPU_SECONDS:g} s {place}"
    return f"ended by {signal.Signals(-code).name} {place}" if code < 0 else f"ended with {code} {place}"


class _Loop:
    """What the child does: change, try, tell."""

    def __init__(
        self,
        target: Target,
        campaign: Campaign,
        rng: Random,
        folder: Path,
        latest: _Latest,
        tell: BinaryIO,
    ) -> None:
        self._target, self._rng, self._folder = target, rng, folder
        self._corpus, self._found = list(campaign.corpus), set(campaign.found)
        self._behaviours = set(campaign.behaviours)
        self._watch, self._latest, self._stream = Watch(target.follows), latest, tell

    def run(self, seconds: float, most: int) -> None:
        """Until the budget is spent."""
        ends, number = time.monotonic() + seconds, 0
        while number < most and time.monotonic() < ends:
            number += 1
            data = _changed(self._rng, self._target, self._corpus)
            self._latest.set(number, data)
            case = Case(data, self._folder)
            # What will not be kept need not be watched.
            watch = self._watch if len(data) <= _LONGEST_KEPT else None
            broken = _tried(self._target, case, watch)
            if broken:
                self._report(broken, data)
            else:
                self._keep(case)

    def _report(self, broken: str, data: bytes) -> None:
        """Tell of a broken promise, once."""
        if broken not in self._found:
            self._found.add(broken)
            self._tell(broken=broken, input=_shrunk(self._target, data, broken, self._folder).hex())

    def _keep(self, case: Case) -> None:
        """Keep an input if readers did something new."""
        new = case.behaviours - self._behaviours
        if (self._watch.anything_new() or new) and len(case.data) <= _LONGEST_KEPT:
            self._behaviours |= new
            self._corpus.append(case.data)
            self._tell(behaviours=sorted(new), kept=case.data.hex())

    def _tell(self, **facts: Any) -> None:
        self._stream.write(json.dumps(facts).encode() + b"\n")
        self._stream.flush()


def _changed(rng: Random, target: Target, corpus: list[bytes]) -> bytes:
    # The newest are the deepest; but any may be the way to somewhere else.
    recent = corpus[-max(8, len(corpus) // 8) :]
    data = rng.choice(recent if rng.random() < 0.5 else corpus)
    if target.change is not None and rng.random() < 0.5:
        data = target.change(rng, data)[:MOST_BYTES]
        if rng.random() < 0.5:
            return data
    return mutated(rng, data, corpus, target.tokens)


def _tried(target: Target, case: Case, watch: Watch | None = None) -> str:
    """Which promise the readers broke, in words; nothing if they kept them all."""
    try:
        with timed(), watch or nullcontext():
            target.attempt(case)
    except Exception as error:
        return f"{type(error).__name__} {place_of(error)}"
    return ""


def _shrunk(target: Target, data: bytes, broken: str, folder: Path) -> bytes:
    """A shorter input that breaks the same promise: parts are left out as long as it still does."""
    ends, size = time.monotonic() + _SHRINK_SECONDS, len(data) // 2
    while size:
        place = 0
        while place < len(data) and time.monotonic() < ends:
            shorter = data[:place] + data[place + size :]
            if _tried(target, Case(shorter, folder)) == broken:
                data = shorter
            else:
                place += size
        size //= 2
    return data

"""What the user sees: bars on a terminal, plain lines elsewhere, and a report at the end of each stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from imageclef.progress import Advance, Reporter, Silent
from imageclef.stages.report import OR, Report

_DELAY = 2.0
"""Seconds before a bar appears: what is quicker needs none."""
_INTERVAL = 15.0
"""Seconds between two plain lines where there is no terminal."""


def reporter(silent: bool) -> Reporter:
    """The reporter for this process's standard error."""
    if silent:
        return Silent()
    return Bars() if sys.stderr.isatty() else Lines()


class Bars:
    """A bar with rate and time left, on a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    def say(self, message: str) -> None:
        """One line."""
        self._console.print(message, highlight=False, markup=False)

    @contextmanager
    def progress(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar over `total` items that appears after two seconds."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        task, started, done = bar.add_task(label, total=total, rate=""), time.monotonic(), 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            elapsed = time.monotonic() - started
            if elapsed > _DELAY and not bar.live.is_started:
                bar.start()
            bar.update(task, completed=done, rate=f"{done / max(elapsed, 1e-9):,.0f} {unit}/s")

        try:
            yield advance
        finally:
            bar.stop()


class Lines:
    """Plain lines, for logs and pipes."""

    def say(self, message: str) -> None:
        """One line on standard error."""
        sys.stderr.write(message + "\n")

    @contextmanager
    def progress(self, label: str, total: int, unit: str) -> Iterator[Advance]:
        """A line every 15 seconds."""
        started = shown = time.monotonic()
        done = 0

        def advance(n: int) -> None:
            nonlocal done, shown
            done += n
            now = time.monotonic()
            if now - shown > _INTERVAL:
                shown = now
                rate = done / (now - started)
                left = (total - done) / rate if rate else 0
                self.say(f"{label}: {done:,} of {total:,} {unit}, {rate:,.0f}/s, {left:,.0f} s left")

        yield advance


_LONG = ("made_from", "score_by_c", "concepts_by_c", "rules", "members", "cross_validated")
"""Figures for the JSON file of a run, not for reading on a terminal."""


def print_report(report: Report) -> None:
    """Print what a stage did on standard output."""
    console = Console(highlight=False, soft_wrap=True)

    def line(verb: str, text: str, style: str = "") -> None:
        console.print(f"  {verb:<8} {text}", style=style, markup=False)

    console.print(f"{report.stage}  {report.seconds:,.1f} s", style="bold", markup=False)
    for verb, entries in (("read", report.read), ("skipped", report.skipped), ("wrote", report.wrote)):
        for entry in entries:
            line(verb, entry)
    for note in report.notes:
        line("note", note, "yellow")
    if "neighbors" in report.figures:
        for text in _neighbours(report.figures):
            console.print(text, markup=False)
    else:
        for text in _figures(report.figures):
            line("found", text)
        for name, member in report.figures.get("members", {}).items():
            line("member", f"{name}: weight {_rounded(member['weight'])}, alone {_rounded(member['alone'])}")
    for place, hint in enumerate(filter(None, report.next.split(OR))):
        line("or" if place else "next", hint, "cyan")


def _figures(figures: dict[str, Any], name: str = "") -> Iterator[str]:
    """One line for each group of numbers."""
    plain = {key: value for key, value in figures.items() if isinstance(value, int | float | str)}
    if plain:
        facts = ", ".join(f"{key.replace('_', ' ')} {_rounded(value)}" for key, value in plain.items())
        yield f"{name}: {facts}" if name else facts
    for key, value in figures.items():
        if isinstance(value, dict) and key not in _LONG:
            yield from _figures(value, key)


def _rounded(value: float | str) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _neighbours(figures: dict[str, Any]) -> Iterator[str]:
    """One line for each hit, with its whole id: two that are cut may look the same."""
    names, hits = figures.get("concept_names", {}), figures["neighbors"]
    several = len({hit["collection"] for hit in hits}) > 1
    ids = [f"{hit['collection']}/{hit['id']}" if several else hit["id"] for hit in hits]
    width = max(map(len, ids), default=0)

    def named(concepts: list[str]) -> str:
        return ", ".join(names.get(concept, concept) for concept in concepts) or "none"

    for image_id, hit in zip(ids, hits, strict=True):
        others = [concept for concept in hit["concepts"] if concept not in set(hit["shared"])]
        told = f"shared with the query: {named(hit['shared'])}" + (
            f"; also {named(others)}" if others else ""
        )
        yield f"{hit['rank']:>4}  {image_id:<{width}}  {hit['distance']:.4f}  {told}"

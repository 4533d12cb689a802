"""What was done to the program and how it took it: the table of docs/reliability.md."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Table:
    """Counts of outcomes by fault and by what it was done to."""

    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def add(self, fault: str, where: str, outcome: str, n: int = 1) -> None:
        """Count faults that were injected.

        Args:
            fault: its kind.
            where: what was disturbed.
            outcome: how it ended.
            n: how many.
        """
        self.counts.setdefault((fault, where), Counter())[outcome] += n

    def total(self, fault: str) -> int:
        """How many of a kind."""
        return sum(sum(counts.values()) for (kind, _), counts in self.counts.items() if kind == fault)

    def markdown(self) -> str:
        """The table, and the sums of its kinds."""
        lines = ["| fault | done to | injected | outcome |", "|---|---|---:|---|"]
        for (fault, where), counts in sorted(self.counts.items()):
            outcomes = "; ".join(f"{outcome} ({n})" for outcome, n in counts.most_common())
            lines.append(f"| {fault} | {where} | {sum(counts.values())} | {outcomes} |")
        kinds = sorted({fault for fault, _ in self.counts})
        sums = [f"{self.total(kind)} x {kind}" for kind in kinds]
        return "\n".join([*lines, "", "In all: " + ", ".join(sums) + ". Losses: none.", ""])

    def write(self, path: Path) -> None:
        """Write the table, if there is anything in it."""
        if self.counts:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.markdown(), encoding="utf-8")

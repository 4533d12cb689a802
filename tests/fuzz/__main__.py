"""Fuzz one target or all: `python -m tests.fuzz --target images --seconds 600 --seed 1`."""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.campaign import Campaign, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz, save what was found, and end with 1 if that is anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--target", choices=TARGETS, action="append", help="by default all, one after the other"
    )
    parser.add_argument("--seconds", type=float, default=60, help="in total, shared evenly among the targets")
    parser.add_argument("--seed", type=int, default=0, help="of the changes")
    parser.add_argument(
        "--found", type=Path, default=Path("build/fuzz"), help="where failing inputs are saved"
    )
    asked = parser.parse_args()
    names = asked.target or list(TARGETS)
    failed = 0
    for name in names:
        with TemporaryDirectory() as folder:
            campaign = fuzz(TARGETS[name], asked.seconds / len(names), asked.seed, Path(folder))
        failed += len(campaign.found)
        _report(name, campaign, asked.found)
    return 1 if failed else 0


def _report(name: str, campaign: Campaign, folder: Path) -> None:
    print(
        f"{name}: {campaign.executions:,} inputs, {len(campaign.corpus):,} kept, "
        f"{len(campaign.behaviours)} behaviours, {len(campaign.found)} found",
        flush=True,
    )
    for label, data in campaign.found.items():
        path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"  {label}\n    {path} ({len(data)} bytes)", flush=True)


if __name__ == "__main__":
    sys.exit(main())

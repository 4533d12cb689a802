"""Plant faults and see the tests notice: `python -m tests.mutants --n 300 --seed 0`.

A run that was stopped goes on where it was: what was tried stands in build/mutants, by the content of the
mutated file and of the tests. Survivors that are accepted stand in survivors.toml with their reason.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from tests.mutants.sampling import ROOT, Mutant, sampled
from tests.mutants.trying import Copy, list_tests

MOST_SURVIVORS = 0.05
ACCEPTED = Path(__file__).with_name("survivors.toml")


def main() -> int:
    """Try a sample, list the survivors, and end with 1 if more than 5 % survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=2, help="mutants that are tried at once")
    parser.add_argument("--tried", type=Path, default=ROOT / "build/mutants/tried.jsonl")
    given = parser.parse_args()
    survivors = _survivors(sampled(given.n, given.seed), given.workers, given.tried)
    reasons = {
        (one["path"], one["change"].strip()): one["reason"]
        for one in tomllib.loads(ACCEPTED.read_text("utf-8")).get("survivor", [])
    }
    for mutant in survivors:
        reason = reasons.get((mutant.path, mutant.change()), "no reason is given")
        print(f"{mutant.path} ({mutant.operator}): {reason}\n{mutant.change()}")
    share = len(survivors) / given.n
    print(f"{len(survivors)} of {given.n} mutants survive, {share:.1%}; at most {MOST_SURVIVORS:.0%} may")
    return int(share > MOST_SURVIVORS)


def _survivors(mutants: list[Mutant], workers: int, tried: Path) -> list[Mutant]:
    """Try what was not tried before, on copies of the tree."""
    tried.parent.mkdir(parents=True, exist_ok=True)
    known = dict(json.loads(line) for line in tried.read_text().splitlines()) if tried.exists() else {}
    todo = [mutant for mutant in mutants if _key(mutant) not in known]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool, tried.open("a") as log:
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(workers):
            copies.put(Copy(Path(folder) / str(number)))

        def attempt(mutant: Mutant) -> bool:
            copy = copies.get()
            try:
                return copy.survives(mutant)
            finally:
                copies.put(copy)

        for number, (mutant, survived) in enumerate(zip(todo, pool.map(attempt, todo), strict=True), 1):
            known[_key(mutant)] = survived
            log.write(json.dumps([_key(mutant), survived]) + "\n")
            log.flush()
            print(f"{number}/{len(todo)} {'SURVIVED' if survived else 'killed'} {mutant.path}", flush=True)
    return [mutant for mutant in mutants if known[_key(mutant)]]


def _key(mutant: Mutant) -> str:
    """The mutant, its file and its tests: a change of any of them is another trial."""
    digest = hashlib.sha256(json.dumps(asdict(mutant)).encode())
    for name in (mutant.path, *(test for tests in list_tests(mutant.path) for test in tests)):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())

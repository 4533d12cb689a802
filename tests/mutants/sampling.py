"""Which mutants there are, by cosmic-ray's operators, and a seeded sample of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from random import Random

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("learners", "concepts", "detectors", "runs", "retrieval")
DATA_FILES = ("concept_list", "list_lines", "lists", "ids", "splits", "vocabulary")
"""Of `data/`: lists and splits."""

_NOT_USED = ("core/Variable",)  # needs arguments; the others work on any code


@dataclass(frozen=True)
class Mutant:
    """A change of one place in one file.

    Attributes:
        path: the file, from the root of the repository.
        operator: its name in cosmic-ray.
        occurrence: which place of the file, as the operator counts them.
    """

    path: str
    operator: str
    occurrence: int

    def source(self) -> str:
        """The changed file."""
        changed = mutate_code(
            (ROOT / self.path).read_text("utf-8"), get_operator(self.operator)(), self.occurrence
        )
        if changed is None:
            raise LookupError(f"{self.path}: {self.operator} has no place {self.occurrence}")
        return str(changed)

    def compiles(self) -> bool:
        """Whether it is Python: what is not would count as noticed by any test (`**a` becomes `%a`)."""
        try:
            ast.parse(self.source())
        except SyntaxError:
            return False
        return True

    def change(self) -> str:
        """The lines before and after, without their numbers, so that it is the same when others move."""
        before = (ROOT / self.path).read_text("utf-8").splitlines()
        lines = unified_diff(before, self.source().splitlines(), n=0, lineterm="")
        return "\n".join(
            f"{line[0]} {line[1:].strip()}" for line in lines if line[:2] not in ("--", "++", "@@")
        )


def mutated_files() -> list[Path]:
    """The files whose tests are judged."""
    package = ROOT / "imageclef"
    found = [path for room in ROOMS for path in (package / room).rglob("*.py")]
    found += [package / "data" / f"{name}.py" for name in DATA_FILES]
    return sorted(path for path in found if path.exists() and path.name != "__init__.py")


def sampled(n: int, seed: int) -> list[Mutant]:
    """As many places in the code, chosen with equal chances, and one mutant at each."""
    places: dict[tuple[str, tuple[int, int]], list[Mutant]] = {}
    for path in mutated_files():
        for place, mutant in _mutants(path):
            places.setdefault((mutant.path, place), []).append(mutant)
    rng, chosen = Random(seed), list[Mutant]()
    for place in rng.sample(sorted(places), len(places)):
        if len(chosen) == n:
            break
        mutants = [mutant for mutant in places[place] if mutant.compiles()]
        if mutants:
            chosen.append(rng.choice(mutants))
    return chosen


def _mutants(path: Path) -> Iterator[tuple[tuple[int, int], Mutant]]:
    """Every mutant of a file with its line and column, but those of annotations."""
    source = path.read_text("utf-8")
    nodes, passed_over = list(ast_nodes(get_ast(source))), _annotations(source)
    for name in sorted(operator_names()):
        if name.startswith(_NOT_USED):
            continue
        operator, occurrence = get_operator(name)(), 0
        for node in nodes:
            for start, _ in operator.mutation_positions(node):
                if not any(first <= start <= last for first, last in passed_over):
                    yield start, Mutant(path.relative_to(ROOT).as_posix(), name, occurrence)
                occurrence += 1


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the annotations are: they are not run, so that no test can tell their mutants apart."""
    found = []
    for node in ast.walk(ast.parse(source)):
        annotation = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if isinstance(annotation, ast.expr):
            start = annotation.lineno, annotation.col_offset
            found.append((start, (annotation.end_lineno or 0, annotation.end_col_offset or 0)))
    return found

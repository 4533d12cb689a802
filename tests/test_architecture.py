"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "imageclef"
MODULES = sorted(PACKAGE.rglob("*.py"))
FLOORS = [
    {"errors", "threads"},
    {"storage"},
    {"devices", "settings", "toml_tables"},
    {"config", "naming", "progress"},
    {"data", "demo", "images"},
    {"learners"},
    {"features"},
    {"retrieval"},
    {"detectors"},
    {"runs"},
    {"reporting"},
    {"workspace"},
    {"similarity"},
    {"service"},
    {"stages"},
    {"terminal"},
    {"cli"},
    {"__main__"},
]
"""From the ground up: a room imports its own floor and those below."""


def room_of(module: str) -> str:
    return module.split(".")[1]


def floor_of(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def name_of(path: Path) -> str:
    return ".".join(("imageclef", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        assert not imports_of(path)
        return
    own = room_of(name_of(path))
    for module in imports_of(path):
        if module == "imageclef":
            assert own == "cli", f"{name_of(path)} imports the package root"
        elif module.startswith("imageclef."):
            other = room_of(module)
            assert floor_of(other) <= floor_of(own), f"{name_of(path)} imports {module}"


def test_imports_between_files_have_no_circle() -> None:
    """Those inside functions count: a late import hides a circle, it does not break it."""
    names = {name_of(path): path for path in MODULES}
    graph = {}
    for name, path in names.items():
        imported = imports_of(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        # A package that is named only on the way to one of its modules is not what is imported.
        packages = {module.rpartition(".")[0] for module in imported & names.keys()}
        graph[name] = {
            module
            for module in imported & names.keys()
            if not (names[module].name == "__init__.py" and module in packages)
        } - {name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_only_the_index_imports_faiss() -> None:
    assert {name_of(path) for path in MODULES if "faiss" in imports_of(path)} == {"imageclef.retrieval.ann"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_library_never_prints_or_exits(path: Path) -> None:
    if room_of(name_of(path) + ".") == "cli":
        return
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    }
    assert not calls & {"print", "exit", "sys.exit", "os._exit", "logging.basicConfig"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_unpickled_and_no_shell_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not imports_of(path) & {"pickle", "joblib", "dill", "multiprocessing"}
    for forbidden in ("allow_pickle=True", "weights_only=False", "shell=True", "os.system"):
        assert forbidden not in text


def test_only_the_decoding_worker_starts_a_process() -> None:
    assert {name_of(path) for path in MODULES if "subprocess" in imports_of(path)} == {
        "imageclef.images.process"
    }


COVERED_BY = {
    "stages": "test_path.py",
    "service": "test_routes.py",
    "workspace": "test_path.py",
    "progress": "test_path.py",
    "learners": "test_contract.py",
    "detectors": "test_logistic.py",  # whose answers are those of lbfgs, problem and rows
    "__main__": "test_cli.py",
    "cli": "test_cli.py",
    "terminal": "test_cli.py",
    "manifests": "test_artifacts.py",
    "settings": "test_config.py",
    "toml_tables": "test_config.py",
    "errors": "test_cli.py",
    "worker": "test_pool.py",
    "process": "test_pool.py",
    "exact": "test_index.py",
    "vectors": "test_index.py",
    "ann": "test_recall.py",
    "similarity": "test_questions.py",
    "kinds": "test_recall.py",
    "list_lines": "test_concept_list.py",
    "lines": "test_runfile.py",
    "editions": "test_evaluate.py",  # the golden cases of every edition
}
"""The tests of modules, and of whole rooms, that have none of their own name."""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_has_a_test(path: Path) -> None:
    tests = {test.name for test in (PACKAGE.parent / "tests").rglob("test_*.py")}
    names = [path.stem, *name_of(path).split(".")[1:]]
    expected = {f"test_{path.stem}.py", *(COVERED_BY[name] for name in names if name in COVERED_BY)}
    assert path.name == "__init__.py" or expected & tests, f"no {' or '.join(sorted(expected))}"

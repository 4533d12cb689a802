"""No input is ever run: nothing is unpickled or evaluated, no shell is asked, no archive unpacked."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "imageclef"
MODULES = sorted(PACKAGE.rglob("*.py"))

FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.save",
    "pickle.load", "pickle.loads", "np.fromregex", "shutil.unpack_archive",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "extract_all", "read_pickle", "to_pickle", "unpack_archive"}
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "tarfile",
    "cloudpickle",
}
FORBIDDEN_ARGUMENTS = {"shell": True, "allow_pickle": True, "weights_only": False}


def faults_of(tree: ast.AST) -> list[str]:
    """What of a module could run its input."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = [module or ""] + [alias.name for alias in node.names if module is None]
            found += [f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS or called.rsplit(".", 1)[-1] in FORBIDDEN_METHODS:
                found.append(called)
            for given in node.keywords:
                value = getattr(given.value, "value", None)
                if given.arg in FORBIDDEN_ARGUMENTS and value is FORBIDDEN_ARGUMENTS[given.arg]:
                    found.append(f"{called}({given.arg}={value})")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_runs_its_input(path: Path) -> None:
    assert faults_of(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import torch\ntorch.load('x')",
        "eval('1')",
        "archive.extractall('.')",
        "np.load('x', allow_pickle=True)",
        "subprocess.run('ls', shell=True)",
        "torch.load('x', weights_only=False)",
    ],
)
def test_what_is_forbidden_is_found(source: str) -> None:
    assert faults_of(ast.parse(source))

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ground import Ground, prepared
from tests.faults.launcher import Launcher
from tests.faults.table import Table

WRITTEN = Path(__file__).resolve().parents[2] / "build" / "faults"


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    """Written to build/faults when a module is done; a fault whose test failed is not in it."""
    table = Table()
    yield table
    table.write(WRITTEN / f"{request.module.__name__.rsplit('.', 1)[-1]}.md")


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path_factory.mktemp("logs"))
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory, launcher: Launcher) -> Ground:
    return prepared(tmp_path_factory.mktemp("ground"), launcher)

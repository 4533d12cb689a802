from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and golden cases beside the checkout; not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder ../shared beside the checkout (real images, golden cases)")
    return SHARED

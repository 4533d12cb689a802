from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.images.dicom.made_up import write
from tests.runs.reports import UIDS


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path / "image.dcm", np.zeros((4, 4), np.uint16), **UIDS)

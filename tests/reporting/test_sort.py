from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import imageclef.reporting

SCRIPT = Path(imageclef.reporting.__file__).with_name("sort.js")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_a_press_sorts_by_number_or_name_and_what_is_missing_stays_last() -> None:
    harness = Path(__file__).with_name("sort_test.js")
    ran = subprocess.run(["node", harness, SCRIPT], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        [[None, "descending"], ["lung", "heart", "Aorta", "Bone"]],
        [[None, "ascending"], ["Aorta", "heart", "lung", "Bone"]],
        [["ascending", None], ["Aorta", "Bone", "heart", "lung"]],
        [["descending", None], ["lung", "heart", "Bone", "Aorta"]],
    ]


def test_the_script_reaches_for_nothing_outside_the_page() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    for word in ("fetch", "XMLHttpRequest", "http", "import", "innerHTML", "eval", "</"):
        assert word not in text

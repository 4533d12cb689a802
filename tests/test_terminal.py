from __future__ import annotations

import pytest

from imageclef.stages.report import OR, Report
from imageclef.terminal import print_report


def test_hits_are_printed_with_whole_ids_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    ids = ["1.2.826.0.1.3680043.2." + "1" * 60 + end for end in "23"]
    hits = [
        {
            "rank": n,
            "id": one,
            "collection": where,
            "distance": 0.5,
            "concepts": ["C1", "C2"],
            "shared": ["C1"],
        }
        for n, (one, where) in enumerate(zip(ids, ("train", "test"), strict=True), 1)
    ]
    print_report(Report("similar", figures={"neighbors": hits, "concept_names": {"C1": "Lung"}}))
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[1] for line in lines] == [f"train/{ids[0]}", f"test/{ids[1]}"]
    assert all("Lung" in line and "C2" in line for line in lines)


def test_every_command_of_a_hint_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report("index").done(f"imageclef knn{OR}imageclef similar --id x"))
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert lines == ["  next     imageclef knn", "  or       imageclef similar --id x"]

"""An index that lives: added to, removed from, synced with a folder, asked in many ways."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from imageclef import stages
from imageclef.cli import app
from imageclef.config import Config, with_profile
from imageclef.data.concept_list import read_concept_list
from imageclef.errors import ConfigError, DataError, MissingArtifact
from imageclef.retrieval.index import Index
from imageclef.workspace import Workspace
from tests.images.dicom.made_up import write
from tests.walking import Reports, with_tables


@pytest.fixture
def own(config: Config, walked: Reports, tmp_path: Path) -> Config:
    """A workspace and a folder of one's own, with an index up to date."""
    shutil.copytree(config.workspace, tmp_path / "artifacts")
    tables = {name: one.model_dump() for name, one in config.collections.items()}
    shutil.copytree(tables["train"]["images"], tmp_path / "train")
    tables["train"]["images"] = tmp_path / "train"
    changed = with_tables(config, workspace=tmp_path / "artifacts", collections=tables)
    shutil.rmtree(tmp_path / "artifacts" / "indexes", ignore_errors=True)
    for stage in (stages.ingest, stages.train, stages.extract):
        stage(changed)
    stages.index(changed)
    return changed


def loaded(config: Config) -> Index:
    return Workspace(config).index().index


def ids_of(config: Config) -> list[str]:
    return [one.image_id for one in loaded(config).images]


def pictures(config: Config) -> list[Path]:
    return sorted(config.collection("train").images.rglob("[TV]*.png"))


def test_another_collection_is_added_and_taken_out(own: Config) -> None:
    before = len(loaded(own))
    added = stages.index_add(own, "test")
    features = Workspace(own).features("test")
    assert added.figures["added"] == len(features)
    assert len(loaded(own)) == before + len(features)
    assert stages.index_add(own, "test").figures["added"] == 0
    assert stages.index(own).skipped
    neighbors = stages.similar(own, ids=[features.ids[0]], k=3).figures["neighbors"]
    assert features.ids[0] not in [neighbor["id"] for neighbor in neighbors]
    removed = stages.index_remove(own, features.ids[:5])
    assert removed.figures["n_images"] == before + len(features) - 5
    with pytest.raises(DataError, match=f"'{features.ids[0]}' is not in the index"):
        stages.index_remove(own, [features.ids[0]])
    with pytest.raises(DataError, match="no image is named"):
        stages.index_remove(own)
    assert stages.index_check(own).ok


def test_a_flipped_byte_of_the_index_is_named(own: Config) -> None:
    rows = Workspace(own).index_path / "rows.npy"
    data = bytearray(rows.read_bytes())
    data[-3] ^= 1
    rows.write_bytes(data)
    report = stages.index_check(own)
    assert not report.ok
    assert rows.name in report.notes[0]
    whole = stages.check(own)
    assert not whole.ok
    assert whole.figures["damaged"] == 1


def test_a_folder_that_changes_is_synced(own: Config) -> None:
    folder = own.collection("train").images
    first = stages.sync(own)
    assert first.figures | {"refused": 0} == {"added": 0, "replaced": 0, "removed": 0, "refused": 0}
    files = pictures(own)
    before = dict(zip(ids_of(own), loaded(own).vectors(np.arange(len(loaded(own)))), strict=True))
    files[0].unlink()
    shutil.copy(files[2], files[1])
    shutil.copy(files[3], folder / "new.png")
    (folder / "broken.png").write_bytes(b"no image")
    report = stages.sync(own)
    found = {key: report.figures[key] for key in ("added", "replaced", "removed")}
    assert found == {"added": 1, "replaced": 1, "removed": 1}
    assert any("broken.png" in note for note in report.notes)
    index = loaded(own)
    after = dict(
        zip([one.image_id for one in index.images], index.vectors(np.arange(len(index))), strict=True)
    )
    assert files[0].stem not in after
    np.testing.assert_allclose(after["new"], before[files[3].stem], atol=1e-4)
    np.testing.assert_allclose(after[files[1].stem], before[files[2].stem], atol=1e-4)
    untouched = set(before) - {file.stem for file in files[:2]}
    assert all(np.array_equal(after[image_id], before[image_id]) for image_id in untouched)
    again = stages.sync(own)
    assert again.figures["added"] == again.figures["replaced"] == again.figures["removed"] == 0
    assert stages.index_check(own).ok
    paths = {one["id"]: one["path"] for one in stages.similar(own, [files[3]], k=3).figures["neighbors"]}
    assert paths["new"] == "new.png"


def test_touched_and_moved_files_are_not_encoded_again(own: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = Workspace(own).index().digest
    for path in pictures(own)[:5]:
        os.utime(path)
    with monkeypatch.context() as patched:
        patched.setattr(Workspace, "encoder", lambda _: pytest.fail("a file was encoded"))
        report = stages.sync(own)
        assert report.wrote == []
        assert Workspace(own).index().digest == digest
        moved = pictures(own)[0]
        (moved.parent / "sub").mkdir()
        moved.rename(moved.parent / "sub" / moved.name)
        stages.sync(own)
    paths = {one.image_id: one.path for one in loaded(own).images}
    assert paths[moved.stem].endswith(f"sub/{moved.name}")
    assert stages.sync(own).wrote == []


def test_a_moved_workspace_sees_its_own_files(own: Config, tmp_path: Path) -> None:
    new = tmp_path / "elsewhere"
    new.mkdir()
    own.workspace.rename(new / "artifacts")
    own.collection("train").images.rename(new / "train")
    tables = {name: one.model_dump() for name, one in own.collections.items()}
    tables["train"]["images"] = new / "train"
    moved = with_tables(own, workspace=new / "artifacts", collections=tables)
    assert stages.sync(moved).wrote == []
    gone, changed, other = pictures(moved)[:3]
    gone.unlink()
    shutil.copy(other, changed)
    report = stages.sync(moved)
    assert (report.figures["removed"], report.figures["replaced"], report.figures["added"]) == (1, 1, 0)
    sheet = tmp_path / "sheet.png"
    stages.similar(moved, ids=[other.stem], k=3, sheet=sheet)
    assert sheet.exists()


def test_a_truncated_copy_does_not_take_the_place_of_a_good_file(own: Config) -> None:
    folder = own.collection("train").images
    good, n = pictures(own)[0], len(loaded(own))
    copy = folder / "0 first by path"
    copy.mkdir()
    (copy / good.name).write_bytes(good.read_bytes()[:300])
    report = stages.sync(own)
    assert len(loaded(own)) == n
    assert any(good.name in note and "kept" in note for note in report.notes)
    new = folder / "new.png"
    shutil.copy(good, new)
    (copy / "new.png").write_bytes(good.read_bytes()[:300])
    stages.sync(own)
    paths = {one.image_id: one.path for one in loaded(own).images}
    assert paths["new"] == "new.png"
    assert stages.sync(own).wrote == []


def test_a_synced_image_has_its_metadata(own: Config, tmp_path: Path) -> None:
    tables = {name: one.model_dump() for name, one in own.collections.items()}
    groups = tmp_path / "groups.csv"
    with Path(str(tables["train"]["groups"])).open() as file:
        table = list(csv.DictReader(file))
    column = next(name for name in table[0] if name not in ("ID", "group"))
    table.append({**table[0], "ID": "new", column: "only the new"})
    with groups.open("w", newline="") as new:
        writer = csv.DictWriter(new, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    tables["train"]["groups"] = groups
    changed = with_tables(own, collections=tables)
    shutil.copy(pictures(own)[0], own.collection("train").images / "new.png")
    stages.sync(changed)
    found = stages.similar(changed, [pictures(own)[3]], where=[f"{column}=only the new"]).figures["neighbors"]
    assert [one["id"] for one in found] == ["new"]


def test_the_same_training_elsewhere_is_accepted(own: Config, tmp_path: Path) -> None:
    again = with_tables(own, workspace=tmp_path / "again")
    for stage in (stages.ingest, stages.train, stages.extract):
        stage(again)
    shutil.copytree(own.workspace / "indexes", again.workspace / "indexes")
    assert (
        stages.similar(again, [pictures(own)[0]], k=1).figures["neighbors"][0]["id"] == pictures(own)[0].stem
    )


def test_answers_pass_the_filters(own: Config, tmp_path: Path) -> None:
    concepts = read_concept_list(own.collection("train").concepts)
    image = pictures(own)[0]
    counts: dict[str, int] = {}
    for entry in concepts.values():
        for concept in entry:
            counts[concept] = counts.get(concept, 0) + 1
    common, rare = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    report = stages.similar(own, [image], k=8, having=[common], without=[rare], out=tmp_path / "a.csv")
    neighbors = report.figures["neighbors"]
    assert len(neighbors) == 8
    assert all(common in one["concepts"] and rare not in one["concepts"] for one in neighbors)
    table = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["id"] for row in table] == [one["id"] for one in neighbors]
    with pytest.raises(DataError, match="no image of the index has concept 'C9999999'; it has"):
        stages.similar(own, [image], having=["C9999999"])
    allowed = tmp_path / "ids.txt"
    allowed.write_text("\n".join(path.stem for path in pictures(own)[3:6]) + "\n")
    few = stages.similar(own, [image], k=8, among=allowed)
    assert {one["id"] for one in few.figures["neighbors"]} == {path.stem for path in pictures(own)[3:6]}
    assert few.notes == ["3 images pass, fewer than the 8 that were asked for"]
    with pytest.raises(DataError, match="no column 'colour'"):
        stages.similar(own, [image], where=["colour=red"])


def test_several_images_ask_together(own: Config) -> None:
    one, two = pictures(own)[0], pictures(own)[9]
    best = stages.similar(own, [one, two], k=4, join="best").figures
    assert {one.stem, two.stem} <= {neighbor["id"] for neighbor in best["neighbors"]}
    assert [neighbor["distance"] for neighbor in best["neighbors"]][:2] == pytest.approx([0, 0], abs=1e-2)
    left = stages.similar(
        own, [one, two], k=4, join="best", leave_out_same=True, ids=[one.stem, two.stem]
    ).figures
    assert not {one.stem, two.stem} & {neighbor["id"] for neighbor in left["neighbors"]}
    with pytest.raises(ConfigError, match="nothing is asked"):
        stages.similar(own)


def test_an_answer_says_which_regions_agree(own: Config, tmp_path: Path) -> None:
    image = pictures(own)[0]
    plain, sheet = tmp_path / "plain.png", tmp_path / "why.png"
    stages.similar(own, [image], k=3, sheet=plain)
    report = stages.similar(own, [image], k=3, sheet=sheet, why=True)
    itself = report.figures["neighbors"][0]
    assert itself["id"] == image.stem
    np.testing.assert_allclose(itself["regions"]["image"], itself["regions"]["query"], atol=2e-3)
    for one in report.figures["neighbors"]:
        for grid in one["regions"].values():
            assert np.min(grid) >= 0
            assert np.max(grid) in (0, 1)
    assert sheet.read_bytes() != plain.read_bytes()
    pixels = with_tables(own, learner={"name": "pixels", "image_size": 16})
    for stage in (stages.ingest, stages.train, stages.extract, stages.index):
        stage(pixels)
    without = stages.similar(pixels, [image], why=True)
    assert any("no place in the picture" in note for note in without.notes)
    assert "regions" not in without.figures["neighbors"][0]


def test_profiles_search_several_sets_by_their_weights(own: Config) -> None:
    pixels = with_tables(own, learner={"name": "pixels", "image_size": 16})
    for stage in (stages.ingest, stages.train, stages.extract):
        stage(pixels)
    names = [Workspace(own).extracted_label, Workspace(pixels).extracted_label]
    profiles = {"both": {"features": names, "weights": [3, 1]}, "odd": {"features": names, "weights": [1]}}
    both = with_profile(with_tables(own, index={"metric": "cosine"}, profiles=profiles), "both")
    stages.index(both)
    image = pictures(own)[5]
    neighbors = stages.similar(both, [image], k=6).figures["neighbors"]
    assert neighbors[0]["id"] == image.stem
    assert neighbors[0]["similarity"] == pytest.approx(1, abs=1e-3)
    alone = []
    for one in (own, pixels):
        features = Workspace(one).features("train")
        rows = features.features[:] / np.linalg.norm(features.features[:], axis=1, keepdims=True)
        asked = rows[features.ids.index(image.stem)]
        alone.append({i: float(row @ asked) for i, row in zip(features.ids, rows, strict=True)})
    for found in neighbors:
        expected = (3 * alone[0][found["id"]] + alone[1][found["id"]]) / 4
        assert found["similarity"] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(ConfigError, match=r"weights = \[1.0\] for features = .*; expected as many"):
        stages.index(with_profile(both, "odd"))
    with pytest.raises(ConfigError, match="no profile 'none' in the configuration; there are: both, odd"):
        with_profile(both, "none")


def test_near_duplicates_are_found_and_drawn(own: Config, tmp_path: Path) -> None:
    folder = own.collection("train").images
    twin = pictures(own)[4]
    shutil.copy(twin, folder / "twin.png")
    lists = own.collection("train").concepts
    changed = with_tables(
        own, collections={"train": {"images": folder}, "test": own.collection("test").model_dump()}
    )
    assert lists is not None
    stages.ingest(changed)
    stages.extract(changed)
    report = stages.duplicates(changed, within=1e-4, out=tmp_path / "pairs.csv", sheet=tmp_path / "pairs.png")
    pairs = {(row["image"], row["other"]) for row in csv.DictReader((tmp_path / "pairs.csv").open())}
    assert (twin.stem, "twin") in pairs or ("twin", twin.stem) in pairs
    assert report.figures["pairs"] == len(pairs)
    assert Image.open(tmp_path / "pairs.png").size[0] > 200
    across = stages.duplicates(changed, "train", "test", within=1e-9)
    assert across.figures["pairs"] == 0


def test_the_index_refuses_features_of_another_learner(own: Config) -> None:
    path = Workspace(own).index_path
    other = with_tables(own, learner={**own.learner, "epochs": 0})
    for stage in (stages.train, stages.extract):
        stage(other)
    shutil.copytree(path, Workspace(other).index_path)
    with pytest.raises(
        ConfigError, match=r"the index is of the features aae.*, these are aae.*expected the same"
    ):
        stages.similar(other, [pictures(own)[0]])


def test_approximate_kinds_say_what_they_found_and_cannot_do(own: Config) -> None:
    approximate = with_tables(own, index={"kind": "hnsw", "recall": 0.9})
    report = stages.index(approximate)
    assert report.figures["kind"] == "hnsw"
    assert report.figures["recall"]["measured"] >= 0.9
    assert stages.index(approximate).skipped
    with pytest.raises(ConfigError, match="hnsw"):
        stages.index_remove(approximate, [ids_of(approximate)[0]])


def test_the_commands_of_the_index(own: Config, tmp_path: Path) -> None:
    def run(*arguments: str) -> dict[str, object]:
        settings = [
            f"workspace={own.workspace}",
            f"collections.train.images={own.collection('train').images}",
            f"collections.train.concepts={own.collection('train').concepts}",
            f"collections.train.groups={own.collection('train').groups}",
            f"collections.test.images={own.collection('test').images}",
            *(f"learner.{key}={json.dumps(value)}" for key, value in own.learner.items()),
        ]
        options = [part for setting in settings for part in ("--set", setting)]
        done = CliRunner().invoke(app, [*arguments, "--json", *options])
        assert done.exit_code == 0, done.output
        found: dict[str, object] = json.loads(done.output)
        return found

    assert run("index")["skipped"]
    n = run("index", "info")["n_images"]
    one = ids_of(own)[0]
    assert run("index", "remove", one)["n_images"] == int(str(n)) - 1
    assert run("index", "check")["damaged"] == 0
    assert run("sync")["added"] == 1  # what was removed is still in the folder
    neighbors = run("similar", "--id", ids_of(own)[3], "-k", "2")["neighbors"]
    assert isinstance(neighbors, list)
    assert len(neighbors) == 2


def test_what_needs_an_index_names_the_command(config: Config, walked: Reports, tmp_path: Path) -> None:
    without = with_tables(config, index={"metric": "cosine", "kind": "ivfpq"})
    for call in (
        lambda: stages.similar(without, ids=["a"]),
        lambda: stages.index_info(without),
        lambda: stages.index_check(without),
        lambda: stages.index_add(without, "test"),
        lambda: stages.index_remove(without, ["a"]),
        lambda: stages.sync(without),
    ):
        with pytest.raises(MissingArtifact, match=r"is not there; `imageclef index` makes it"):
            call()


def test_a_folder_of_dicom_files_is_ingested_grouped_and_searched(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(12):
        pixels = random.integers(0, 4000, (40, 40)).astype(np.uint16)
        modality = "CT" if number % 2 else "MR"
        write(
            tmp_path / "images" / f"IM{number}",
            pixels,
            SOPInstanceUID=f"1.2.{number}",
            PatientID=f"secret-{number // 3}",
            PatientName="Nobody^Known",
            Modality=modality,
        )
    tables: dict[str, object] = {
        "workspace": tmp_path / "artifacts",
        "collections": {"train": {"images": tmp_path / "images"}},
        "learner": {"name": "pixels", "image_size": 16},
        "ingest": {"salt": tmp_path / "salt", "window": "2000/4000"},
    }
    config = Config.model_validate(tables)
    for stage in (stages.ingest, stages.train, stages.extract, stages.index):
        stage(config)
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600
    collection = Workspace(config).collection("train")
    assert len(set(collection.groups.values())) == 4
    assert stages.ingest(config).skipped
    table = Workspace(config).store_path("train") / "images.csv"
    assert "2000" in next(csv.DictReader(table.open()))["applied"]
    report = stages.similar(config, [tmp_path / "images" / "IM0"], k=9, where=["modality=CT"])
    assert {found["id"] for found in report.figures["neighbors"]} == {f"1.2.{n}" for n in range(1, 12, 2)}
    written = b"".join(path.read_bytes() for path in (tmp_path / "artifacts").rglob("*") if path.is_file())
    assert b"secret" not in written
    assert b"Nobody" not in written
    write(
        tmp_path / "images" / "NEW",
        random.integers(0, 4000, (40, 40)).astype(np.uint16),
        SOPInstanceUID="1.9",
    )
    assert stages.sync(config).figures["added"] == 1

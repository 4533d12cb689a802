"""One byte is flipped, cut off or added in every file of every artifact: check and each reader name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from imageclef import stages
from imageclef.errors import ImageclefError
from imageclef.runs.publishing import read_facts
from imageclef.storage.manifests import MANIFEST, named_files, read_manifest
from tests.faults.table import Table
from tests.small_path import COMMANDS, SmallPath, small_path
from tests.walking import LEARNER, with_tables

pytestmark = pytest.mark.faults
pytest.importorskip("pydicom")
pytest.importorskip("fastapi")

Reader = Callable[[SmallPath], object]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def added_to(data: bytes) -> bytes:
    return data + b"\n"


DAMAGES = (flipped, cut_short, added_to)


def forced(command: str) -> Reader:
    """The command as it reads all of its inputs; without force it may find its result up to date."""
    return lambda path: path.run(command, force=True)


def plain(command: str) -> Reader:
    return lambda path: path.run(command)


def _similar_by_ann(path: SmallPath) -> None:
    image = next(path.config.collection("test").images.rglob("*.png"))
    stages.similar(path.ann, [image], 3)


def _duplicates_of_theirs(path: SmallPath) -> None:
    stages.duplicates(with_tables(path.config, features=("theirs",)), "test")


def _joined_again(path: SmallPath) -> None:
    stages.ensemble(path.config, [path.out / "joined.csv", path.runs[0]], path.out / "again.csv")


def _aae(path: SmallPath) -> None:
    config = with_tables(path.config, learner={**LEARNER, "epochs": 1})
    stages.ingest(config)
    stages.train(config)


def _extract_by_aae(path: SmallPath) -> None:
    stages.extract(with_tables(path.config, learner={**LEARNER, "epochs": 1}))


@dataclass(frozen=True)
class Kind:
    """Some artifacts.

    Attributes:
        places: their folders, as a pattern in the folder that all is written into.
        readers: every stage that reads all of their files, or is about to replace them.
        of_arrays: stages that read the arrays of it as well; by default all readers.
    """

    places: str
    readers: Mapping[str, Reader]
    of_arrays: tuple[str, ...] | None = None


KINDS = {
    "collection": Kind(
        "artifacts/collections/train",
        {name: forced(name) for name in ("train", "classify", "knn")},
    ),
    "store": Kind(
        "artifacts/stores/train-8-grey",
        {name: forced(name) for name in ("train", "extract", "index build")},
        of_arrays=("extract",),
    ),
    "learner": Kind(
        "artifacts/learners/pixels-*", {"extract": forced("extract"), "similar": forced("similar")}
    ),
    "learner with logs": Kind("artifacts/learners/aae-*", {"extract": _extract_by_aae}),
    "features": Kind(
        "artifacts/features/pixels-*/train",
        {name: forced(name) for name in ("classify", "index build", "duplicates")},
    ),
    "imported features": Kind("artifacts/features/theirs/test", {"duplicates": _duplicates_of_theirs}),
    "classifier": Kind("artifacts/classifiers/*", {"classify": plain("classify")}),
    "index": Kind(
        "artifacts/indexes/*-l2",
        {"knn": forced("knn"), "similar": forced("similar"), "index remove": plain("index remove")},
    ),
    "approximate index": Kind("artifacts/indexes/*-hnsw", {"similar": _similar_by_ann}),
    "map": Kind("artifacts/maps/*", {"serve": plain("map")}),
    "findings": Kind("out/findings-jsonl", {"findings": plain("findings jsonl")}),
    "structured reports": Kind("out/findings-sr", {"findings": plain("findings sr")}),
}
RUNS = {
    "run": ("artifacts/runs/pixels-*.csv", {name: forced(name) for name in ("ensemble", "report")}),
    "ensemble": ("out/joined.csv", {"ensemble": _joined_again, "the same ensemble": plain("ensemble")}),
}
OUTPUTS = {
    "merged.csv": "merge", "page.html": "report", "page.json": "report", "similar.csv": "similar",
    "similar.png": "similar", "pairs.csv": "duplicates", "pairs.png": "duplicates",
}  # fmt: skip
NOT_ARTIFACTS = re.compile(r"artifacts/cache/\w+\.json|artifacts/indexes/\.[^/]*\.digests\.json")
"""Tables that save reading; damaged, they count as empty."""
OF_THE_SAME_KIND = re.compile(r"artifacts/(collections/test|stores|features/pixels[^/]*/test|runs/knn-)")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SmallPath:
    path = small_path(tmp_path_factory.mktemp("bytes"))
    for command in COMMANDS:
        path.run(command)
    # What was made before the index was changed is of the index as it is now.
    path.run("map")
    _aae(path)
    path.keep("all")
    return path


def files_of(path: SmallPath, name: str) -> dict[Path, bool]:
    """Every file of a kind that its manifest names, and the manifest; whether it is a log."""
    if name in RUNS:
        (run,) = path.place.glob(RUNS[name][0])
        facts = run.with_suffix(".json")
        return dict.fromkeys([facts, *(run.parent / file for file in read_facts(facts)["files"])], False)
    (folder,) = path.place.glob(KINDS[name].places)
    manifest = read_manifest(folder, "")
    named = {folder / file: False for file in manifest["files"]}
    return {folder / MANIFEST: False, **named, **{folder / file: True for file in manifest["logs"]}}


def readers_of(name: str, file: Path) -> Mapping[str, Reader]:
    if name in RUNS:
        return RUNS[name][1]
    kind = KINDS[name]
    if file.suffix == ".npy" and kind.of_arrays is not None:
        return {reader: kind.readers[reader] for reader in kind.of_arrays}
    return kind.readers


@contextmanager
def damaged(path: SmallPath, file: Path, damage: Callable[[bytes], bytes]) -> Iterator[None]:
    path.restore("all")
    data = file.read_bytes()
    file.unlink()  # a link to the kept one
    file.write_bytes(damage(data))
    yield


def cases(files: Mapping[Path, bool]) -> Iterator[tuple[Path, bool, Callable[[bytes], bytes]]]:
    for file, is_log in files.items():
        for damage in DAMAGES:
            if file.stat().st_size or damage is added_to:
                yield file, is_log, damage


def names_files(manifest: Path, expected: set[str] | None) -> bool:
    """Whether a damaged manifest still names all of its files."""
    return named_files(manifest) == expected


def refuses(reader: Reader, path: SmallPath, file: Path, told: str) -> None:
    with pytest.raises(ImageclefError) as refused:
        reader(path)
        pytest.fail(f"{told}: passed in silence")
    said = str(refused.value)
    # A run's facts that are damaged name none of its files.
    assert str(file) in said or (file.name == MANIFEST and str(file.parent) in said), f"{told}: {said}"
    assert "\n" not in said


def test_the_list_of_kinds_is_complete(finished: SmallPath) -> None:
    finished.restore("all")
    listed = {file for name in [*KINDS, *RUNS] for file in files_of(finished, name)}
    listed |= {finished.out / name for name in OUTPUTS}
    listed |= {finished.out / f".{name}.imageclef" for name in OUTPUTS}
    others = [
        name
        for file in sorted(finished.place.rglob("*"))
        if file.is_file()
        and file not in listed
        and not NOT_ARTIFACTS.fullmatch(name := file.relative_to(finished.place).as_posix())
        and not OF_THE_SAME_KIND.match(name)
    ]
    assert others == []
    assert any(is_log for is_log in files_of(finished, "learner with logs").values())


@pytest.mark.parametrize("name", [*KINDS, *RUNS])
def test_check_and_every_reader_name_the_file(name: str, finished: SmallPath, table: Table) -> None:
    finished.restore("all")
    checks = stages.check(finished.config)
    assert checks.ok, checks.notes
    within = finished.config.workspace
    for file, is_log, damage in cases(files_of(finished, name)):
        told = f"{file.relative_to(finished.place)} {damage.__name__}"
        if file.is_relative_to(within):
            with damaged(finished, file, damage):
                checked = stages.check(finished.config)
            assert not checked.ok, f"{told}: check saw nothing"
            assert any(str(file) in note for note in checked.notes), f"{told}: {checked.notes}"
            table.add(f"a byte {damage.__name__.replace('_', ' ')}", f"check: {name}", "named")
        for who, reader in {} if is_log else readers_of(name, file).items():
            with damaged(finished, file, damage):
                refuses(reader, finished, file, f"{who}: {told}")
            table.add(f"a byte {damage.__name__.replace('_', ' ')}", f"{who}: {name}", "refused by name")


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_that_was_changed_is_replaced_only_by_force(
    name: str, finished: SmallPath, table: Table
) -> None:
    file = finished.out / name
    sidecar = file.with_name(f".{name}.imageclef")
    for place, _, damage in cases(dict.fromkeys([file, sidecar], False)):
        with damaged(finished, place, damage):
            refuses(plain(OUTPUTS[name]), finished, file, f"{name}: {damage.__name__}")
        if place == file:
            with damaged(finished, place, damage):
                finished.run(OUTPUTS[name], force=True)
        table.add(
            f"a byte {damage.__name__.replace('_', ' ')}", f"{OUTPUTS[name]}: {name}", "refused by name"
        )


@pytest.mark.parametrize(
    ("command", "kind"),
    [("train", "learner"), ("extract", "features"), ("import-features", "imported features"),
     ("classify", "classifier"), ("index build", "index"), ("ingest", "store"), ("ingest", "collection"),
     ("findings jsonl", "findings")],
)  # fmt: skip
def test_force_heals_what_the_plain_command_refuses(
    command: str, kind: str, finished: SmallPath, table: Table
) -> None:
    finished.restore("all")
    files = files_of(finished, kind)
    (folder,) = finished.place.glob(KINDS[kind].places)
    files_of_manifest = named_files(folder / MANIFEST)
    for file, is_log, damage in cases(files):
        if is_log:
            continue
        with damaged(finished, file, damage):
            if file.name == MANIFEST and not names_files(file, files_of_manifest):
                # Nothing says any more that the folder is ours: it is left alone.
                refuses(forced(command), finished, file, f"{command} --force: {damage.__name__}")
                continue
            finished.run(command, force=True)
            checked = stages.check(finished.config)
            assert checked.ok, f"{file} {damage.__name__}: {checked.notes}"
        table.add("damaged result", command, "made anew with --force")

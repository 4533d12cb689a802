"""Sync: the index is brought up to date with a folder; the cost follows what has changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.config import Config
from imageclef.data.collection import ImageFile, Refusal
from imageclef.errors import ConfigError
from imageclef.features.extract import features_of
from imageclef.images.bulk import cores, decode_all
from imageclef.learners.base import Learner
from imageclef.progress import Advance, Reporter, Silent
from imageclef.retrieval.index import Index
from imageclef.stages.found import found_images
from imageclef.stages.indexed import IndexedFile, files_of, keep_files, open_index
from imageclef.stages.refused import refused_in_words
from imageclef.stages.report import Report, count_of, name_some, shown
from imageclef.workspace import TRAIN, Workspace

_BATCH = 4096
"""Files that are decoded before the index is written: what a kill can cost."""


@dataclass(frozen=True)
class _Changes:
    """What a folder has that the index has not.

    Attributes:
        vanished: ids of the index whose file is gone.
        changed: files that are not, or no longer, what the index has.
        unchanged: files that are left alone.
        taken: files whose id belongs to an image from elsewhere.
    """

    vanished: list[str]
    changed: list[IndexedFile]
    unchanged: int
    taken: list[str]


def sync(config: Config, folder: Path | None = None, reporter: Reporter | None = None) -> Report:
    """Decode, extract and add new files, remove vanished ones, replace changed ones; touch nothing else.

    The index is written after every few thousand files, so that a kill costs no more than these.

    Args:
        config: names the index and its learner.
        folder: searched with its subfolders; by default that of the training collection.
        reporter: told about the progress.

    Raises:
        MissingArtifact: there is no index, or no learner.
        ConfigError: the index is of other features than the learner's, or of a kind that cannot remove.
        DataError: there is no such folder, or no image in it.
    """
    workspace, report = Workspace(config), Report("sync")
    if workspace.feature_sets != (workspace.extracted_label,):
        raise ConfigError(
            f"features = {list(workspace.feature_sets)}: a folder is synced with the features of the learner "
            f"alone; expected ['{workspace.extracted_label}'], or leave it out"
        )
    train = config.collection(TRAIN)
    root, listing = (folder, None) if folder else (train.images, train.listing)
    index = open_index(workspace)
    index.require(workspace.made_with)
    found = found_images(config, root, listing)
    changes = _changes(index, str(root.resolve()), found.images)
    report.read.append(f"{root}: {count_of(len(found.images), 'image')}")
    if changes.unchanged:
        report.skipped.append(f"{count_of(changes.unchanged, 'image')}: unchanged")
    if changes.vanished:
        _forget(workspace.index_path, changes.vanished)
    refused = _take_up(workspace, root, changes.changed, reporter or Silent()) if changes.changed else []
    present = set(index.ids)
    replaced = sum(file.image_id in present for file in changes.changed)
    report.figures = {
        "added": len(changes.changed) - replaced - len(refused),
        "replaced": replaced,
        "removed": len(changes.vanished),
        "refused": len(refused) + len(found.refused),
    }
    if every := [*refused, *found.refused]:
        report.notes.append(refused_in_words(every))
    if changes.taken:
        report.notes.append(f"their ids belong to images from another folder: {name_some(changes.taken)}")
    report.wrote.append(shown(workspace.index_path))
    return report.done("imageclef similar IMAGE")


def _changes(index: Index, folder: str, images: Sequence[ImageFile]) -> _Changes:
    """Hold the files of a folder against what the index was made of; nothing is read but their state."""
    known = files_of(index)
    now = {image.image_id: IndexedFile(image.image_id, folder, image.path).as_now() for image in images}
    vanished = [i for i, file in known.items() if file.folder == folder and i not in now]
    mine = {i: file for i, file in now.items() if i not in known or known[i].folder == folder}
    changed = [file for i, file in mine.items() if i not in known or not _same(known[i], file)]
    taken = [file.path for i, file in now.items() if i not in mine]
    return _Changes(vanished, changed, len(mine) - len(changed), taken)


def _same(known: IndexedFile, now: IndexedFile) -> bool:
    return known.size >= 0 and replace(known, refused="") == now


def _forget(path: Path, ids: Sequence[str]) -> None:
    with Index.changing(path) as index:
        present = set(index.ids)
        index.remove([image_id for image_id in ids if image_id in present])
        files = files_of(index)
        keep_files(index, (files[image_id] for image_id in files.keys() - set(ids)))


def _take_up(
    workspace: Workspace, root: Path, files: Sequence[IndexedFile], reporter: Reporter
) -> list[Refusal]:
    """Decode, extract and add files, a batch at a time; those that could not be read are returned."""
    learner = workspace.learner()
    refused: list[Refusal] = []
    with reporter.progress("adding", len(files), "images") as advance:
        for start in range(0, len(files), _BATCH):
            batch = files[start : start + _BATCH]
            ids, rows, failed = _features(workspace, learner, root, batch, advance)
            with Index.changing(workspace.index_path) as index:
                present = set(index.ids)
                index.remove([file.image_id for file in batch if file.image_id in present])
                if ids:
                    index.add(rows, ids, workspace.made_with)
                reasons = {refusal.image_id: str(refusal) for refusal in failed}
                seen = {one.image_id: replace(one, refused=reasons.get(one.image_id, "")) for one in batch}
                keep_files(index, {**files_of(index), **seen}.values())
            refused += failed
    return refused


def _features(
    workspace: Workspace, learner: Learner, root: Path, files: Sequence[IndexedFile], advance: Advance
) -> tuple[list[str], NDArray[np.float32], list[Refusal]]:
    """Ids and features of the files that can be read, and why the others cannot."""
    images = [ImageFile(file.image_id, file.path) for file in files]
    size, config = workspace.choice.settings.image_size, workspace.config
    ids: list[str] = []
    refused: list[Refusal] = []
    blocks = []
    workers = config.ingest.workers or cores()
    with closing(decode_all(root, images, size, workspace.mode, workers, config.ingest)) as chunks:
        for chunk in chunks:
            refused += chunk.refused
            if chunk.originals:
                pixels = torch.from_numpy(chunk.pixels).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
                batch = pixels.to(workspace.device)
                found = features_of(learner, batch, config.extract.output, workspace.precision)
                blocks.append(found.cpu().numpy())
                ids += [original[0] for original in chunk.originals]
            advance(len(chunk.originals) + len(chunk.refused))
    return ids, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32), refused

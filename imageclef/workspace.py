"""Where every artifact lives, and how one stage finds what another has made.

    <workspace>/
      collections/<collection>/                   ids, concepts, groups, what has no partner
      stores/<collection>-<size>-<mode>/          decoded images
      learners/<learner>/                         weights, history, pictures
      features/<set>/<collection>/                one row an image; a set is a learner, or imported
      classifiers/<sets>-<top>-o<offset>/         weights, the rule that decides, per-concept table
      indexes/<sets>-<metric>/                    rows and ids; an index changes, and keeps its own manifest
      runs/                                       run files, and what each was decided by

A learner's folder is named by its preset and every setting that departs from it, so that one experiment
never overwrites another.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imageclef.config import Config
from imageclef.data.annotations import Annotations, read_annotations
from imageclef.data.collection import read_groups
from imageclef.data.concept_list import ConceptLists, read_concept_list
from imageclef.data.ids import read_id_lines
from imageclef.data.store import ImageStore
from imageclef.devices import Precision, reduced_precision, resolve_device
from imageclef.errors import ConfigError
from imageclef.features.columns import side_by_side
from imageclef.features.feature_set import FeatureSet
from imageclef.learners.settings import Choice, choose
from imageclef.naming import departures, shortened
from imageclef.retrieval.index import IndexedImage
from imageclef.retrieval.index_artifact import StoredIndex, open_index
from imageclef.runs.editions import Edition, edition_named
from imageclef.storage.artifacts import Artifact, open_artifact

if TYPE_CHECKING:  # what needs no network must not import torch
    import torch

    from imageclef.features.encoding import Encoder
    from imageclef.learners.base import Learner

TRAIN = "train"
"""The collection that learners, classifiers and indexes are made from."""


@dataclass(frozen=True)
class Collection:
    """What is known of a collection beside its pixels.

    Attributes:
        name: its name in the configuration.
        ids: the images that a run must answer: those of the concept list, else every file found.
        concepts: per image, None where no list was given.
        groups: the group of each image, empty where no table was given.
    """

    name: str
    ids: list[str]
    concepts: ConceptLists | None
    groups: Mapping[str, str]


class Workspace:
    """Paths and artifacts of one configuration; everything is checked before any work."""

    def __init__(self, config: Config) -> None:
        """Resolve the learner, the edition and the device.

        Raises:
            ConfigError: one of them is unknown.
        """
        self.config = config
        self.choice: Choice = choose(config.learner)
        self.edition: Edition = edition_named(config.edition)
        self.device_name = resolve_device(config.device)
        if config.weights and len(config.weights) != len(config.features):
            raise ConfigError(
                f"weights = {list(config.weights)} for features = {list(config.features)}; expected as many"
            )

    @cached_property
    def label(self) -> str:
        """Names the learner's artifacts: its preset, and every setting that departs from it."""
        return "-".join([self.choice.label, *self._seed, *departures(self.config.split), *self._read_as])

    @cached_property
    def _seed(self) -> list[str]:
        return [f"seed={self.config.seed}"] if self.config.seed else []

    @cached_property
    def _read_as(self) -> list[str]:
        """The settings of the ingest that change the pixels, as far as they depart from the defaults."""
        return departures(self.config.ingest, ("frames", "headerless", "window", "accept_truncated"))

    @cached_property
    def extracted_label(self) -> str:
        """Names the features that are extracted with the learner."""
        return "-".join([self.label, *self._output])

    @cached_property
    def _output(self) -> list[str]:
        extract = self.config.extract
        output = [] if extract.output == "codes" else [extract.output]
        return output + departures(extract, ("precision",))

    @cached_property
    def feature_sets(self) -> tuple[str, ...]:
        """Names of the feature sets that concepts and neighbours come from."""
        return self.config.features or (self.extracted_label,)

    @cached_property
    def features_label(self) -> str:
        """Names what is made from them."""
        if not self.config.weights:
            return "+".join(self.feature_sets)
        pairs = zip(self.feature_sets, self.config.weights, strict=True)
        return "+".join(f"{label}x{weight:g}" for label, weight in pairs)

    @cached_property
    def run_label(self) -> str:
        """What run files call the features: as in 2018, the learner alone, and what departs from `small`."""
        if self.config.features:
            return self.features_label
        return self.extracted_label.replace(f"{self.choice.name}-small", self.choice.name, 1)

    @cached_property
    def detector_label(self) -> str:
        """Names the classifiers: the features, and the detector unless it is the linear one."""
        return f"{self.features_label}{self._of_detector}"

    @cached_property
    def detector_run_label(self) -> str:
        """What the run files of classifiers begin with."""
        return shortened("-".join([f"{self.run_label}{self._of_detector}", *self._decided_by]))

    @property
    def _of_detector(self) -> str:
        settings = dict(self.config.detector)
        name = settings.pop("name", "linear")
        own = [f"{key}={Path(str(value)).name}" for key, value in sorted(settings.items())]
        return "" if name == "linear" and not own else "-" + "-".join([str(name), *own])

    @cached_property
    def mode(self) -> Literal["rgb", "grey"]:
        """How the learner wants images stored."""
        return self.choice.settings.mode

    @cached_property
    def precision(self) -> Precision:
        """The precision of the networks' arithmetic on the device."""
        asked = self.config.extract.precision
        return reduced_precision(self.device_type) if asked == "auto" else asked

    @property
    def device_type(self) -> str:
        """The kind of device, ``cpu`` or ``cuda``."""
        return self.device_name.partition(":")[0]

    @cached_property
    def device(self) -> torch.device:
        """The device as PyTorch knows it."""
        import torch

        return torch.device(self.device_name)

    def collection_path(self, name: str) -> Path:
        """Ids, concepts and groups of a collection."""
        return self.config.workspace / "collections" / name

    def store_path(self, name: str) -> Path:
        """Decoded images of a collection at the learner's size."""
        return (
            self.config.workspace
            / "stores"
            / "-".join([name, str(self.choice.settings.image_size), self.mode, *self._read_as])
        )

    def sources_path(self, name: str) -> Path:
        """The cache of the content of a collection's files."""
        return self.config.workspace / "cache" / f"{name}.json"

    @property
    def learner_path(self) -> Path:
        """The trained learner."""
        return self.config.workspace / "learners" / self.label

    def features_path(self, name: str, label: str | None = None) -> Path:
        """Features of a collection: those that the learner extracts, or a set of another name."""
        return self.config.workspace / "features" / (label or self.extracted_label) / name

    def classifier_path(self, top: int, offset: int) -> Path:
        """The classifier of a window of concepts."""
        name = [self.detector_label, str(top), f"o{offset}", *self._decided_by]
        name += departures(self.config, ("edition",))
        # The name of a learner's own features has the split already.
        name += departures(self.config.split) if self.config.features else []
        return self.config.workspace / "classifiers" / shortened("-".join(name))

    @cached_property
    def _decided_by(self) -> list[str]:
        """The settings of the classifier that depart from the defaults."""
        settings = self.config.classify
        return departures(settings, tuple(type(settings).model_fields.keys() - {"top", "offset"}))

    @property
    def index_path(self) -> Path:
        """The similarity index over the training collection."""
        index = self.config.index
        kind = "" if index.kind == "flat" else f"-{index.kind}"
        return self.config.workspace / "indexes" / f"{self.features_label}-{index.metric}{kind}"

    @property
    def runs_path(self) -> Path:
        """Run files."""
        return self.config.workspace / "runs"

    def artifact(
        self, kind: Literal["collection", "store", "learner", "features"], name: str = ""
    ) -> Artifact:
        """A published artifact.

        Raises:
            MissingArtifact: it is not there; the message names the command that makes it.
        """
        of = f" --collection {name}" if name not in ("", TRAIN) else ""
        match kind:
            case "collection":
                return open_artifact(self.collection_path(name), f"imageclef ingest{of}")
            case "store":
                return open_artifact(self.store_path(name), f"imageclef ingest{of}")
            case "learner":
                return open_artifact(self.learner_path, "imageclef train")
            case "features":
                return open_artifact(self.features_path(name), f"imageclef extract{of}")
        raise ValueError(f"no artifact of kind {kind!r}")

    def collection(self, name: str) -> Collection:
        """Ids, concepts and groups, as ingested."""
        self.config.collection(name)
        folder = self.artifact("collection", name).path
        ids = read_id_lines(folder / "ids.txt")
        listed, grouped = folder / "concepts.tsv", folder / "groups.csv"
        concepts = read_concept_list(listed, "2018") if listed.exists() else None
        groups = read_groups(grouped).group_of if grouped.exists() else {}
        return Collection(name, ids, concepts, groups)

    def annotations(self) -> Annotations:
        """The annotations of the images of every collection that was ingested."""
        there = [name for name in self.config.collections if self.collection_path(name).is_dir()]
        return read_annotations({name: self.artifact("collection", name).path for name in there})

    def store(self, name: str) -> ImageStore:
        """Decoded images."""
        return ImageStore.open(self.artifact("store", name))

    def learner(self) -> Learner:
        """The trained learner, on the device."""
        return self._loaded(self.artifact("learner"))

    def learners(self) -> list[Learner]:
        """The learner of each feature set, on the device.

        Raises:
            ConfigError: a set is not of a learner's codes: it was imported, or is of other levels.
        """
        if self.feature_sets == (self.extracted_label,):
            return [self.learner()]
        return [self._learner_of(label) for label in self.feature_sets]

    def _learner_of(self, label: str) -> Learner:
        path = self.config.workspace / "learners" / label
        if not path.exists():
            raise ConfigError(
                f"features '{label}': no learner of that name is here to encode an image with; "
                "expected the features of learners"
            )
        return self._loaded(open_artifact(path, "imageclef train"))

    def _loaded(self, artifact: Artifact) -> Learner:
        from imageclef.learners.table import load_learner

        _, learner = load_learner(artifact.path)
        return learner.to(self.device)

    def features(self, name: str, unit: bool = False) -> FeatureSet:
        """Features of a collection; of several sets, beside each other, at length 1 each if `unit`."""
        sets = [FeatureSet.open(artifact) for artifact in self._features(name)]
        return side_by_side(sets, unit, self.config.weights or None)

    def features_digest(self, name: str) -> str:
        """Of what `features` reads."""
        return "+".join(artifact.digest for artifact in self._features(name))

    @cached_property
    def features_identity(self) -> str:
        """Digest of what makes the features: equal for trainings that are interchangeable."""
        weights = ":".join(f"{weight:g}" for weight in self.config.weights)
        return "+".join(map(self._identity_of, self.feature_sets)) + (f":{weights}" if weights else "")

    def _identity_of(self, label: str) -> str:
        if label == self.extracted_label:
            output = self.config.extract.output
            return self.artifact("learner").digest + ("" if output == "codes" else f"-{output}")
        learner = self.config.workspace / "learners" / label
        if learner.exists():
            return open_artifact(learner, "imageclef train").digest
        # Imported features: nobody but their rows says what made them.
        return open_artifact(self.features_path(TRAIN, label), "imageclef import-features").digest

    def index(self) -> StoredIndex:
        """The similarity index.

        Raises:
            MissingArtifact: it has not been built.
            ArtifactError: it is damaged.
        """
        return open_index(self.index_path, self.device_name)

    def encoder(self) -> Encoder:
        """What encodes images as the configured feature sets do.

        Raises:
            ConfigError: a set is not of a learner.
        """
        from imageclef.features.encoding import Encoder

        config = self.config
        learners = self.learners()
        return Encoder(
            learners, config.weights, config.extract.output, self.precision, self.device, config.ingest
        )

    def file_of(self, image: IndexedImage) -> Path:
        """The file of an indexed image."""
        return self.folder_of(image.collection) / image.path

    def folder_of(self, collection: str) -> Path:
        """The folder that the paths of a collection's images are relative to.

        A folder that `sync` was told, and that is of no collection, is named relative to the workspace.
        """
        if collection in self.config.collections:
            return self.config.collections[collection].images
        return self.config.workspace / collection

    def collection_in(self, folder: Path) -> str:
        """The collection whose images a folder holds, or its path relative to the workspace."""
        for name, settings in self.config.collections.items():
            if settings.images.resolve() == folder.resolve():
                return name
        relative = os.path.relpath(folder.resolve(), self.config.workspace.resolve())
        return Path(relative).as_posix() if relative.startswith("..") else f"./{relative}"

    def _features(self, name: str) -> list[Artifact]:
        if not self.config.features:
            return [self.artifact("features", name)]
        made_by = f"imageclef extract` with its learner, or `imageclef import-features --collection {name}"
        return [open_artifact(self.features_path(name, label), made_by) for label in self.feature_sets]

    def chosen(self, collection: str | None) -> list[str]:
        """The one collection that was named, else all of them.

        Raises:
            ConfigError: there are none, or none of that name.
        """
        if collection is not None:
            self.config.collection(collection)
            return [collection]
        if not self.config.collections:
            raise ConfigError('no collections; add a table [collections.train] with images = "FOLDER"')
        return list(self.config.collections)

    def answered(self, collection: str | None) -> list[str]:
        """The collections that runs are written for: the one named, else all but the training collection."""
        return [name for name in self.chosen(collection) if name != TRAIN or collection == TRAIN]

"""Settings: one TOML file and ``--set key=value``, checked whole before any work begins.

Relative paths in the file are taken from the file's own folder, so that a project can be moved or copied as a
whole, and used from anywhere.
A learner's own settings stand in its file; here the table ``[learner]`` is carried as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from imageclef.errors import ConfigError
from imageclef.settings import Settings, parse_settings
from imageclef.toml_tables import read_table, set_value

DEFAULT_PATH = Path("imageclef.toml")
DEFAULT_EDITION = "2018"
"""The edition of runs and scores, unless the configuration names another."""


def checked_name(name: str) -> str:
    """Refuse a name that would not be one folder of the workspace, or that joins others.

    Raises:
        ValueError: with what was expected.
    """
    if not name.isprintable() or name != name.strip() or any(sign in name for sign in "/\\+"):
        raise ValueError("expected a name without / \\ +, blanks at its ends or control characters")
    if not name or name.startswith("."):
        raise ValueError("expected a name that does not begin with a dot")
    return name


ArtifactName = Annotated[str, AfterValidator(checked_name)]
"""A name that a user gives to a collection or to a feature set: it becomes a folder of the workspace."""


def _year_as_text(edition: Any) -> Any:
    return str(edition) if isinstance(edition, int) and not isinstance(edition, bool) else edition


Edition = Annotated[str, BeforeValidator(_year_as_text)]
"""A year of the task; a bare number is taken too."""


class CollectionSettings(Settings):
    """Where a collection's files are.

    Attributes:
        images: a folder, searched with its subfolders; or a DICOMDIR, which stands for its folder.
        concepts: a concept list of any edition.
        groups: a CSV with the columns ID and group (patient, study); further columns are metadata.
        listing: a DICOMDIR in the folder: only the files that it names are taken.
    """

    images: Path
    concepts: Path | None = None
    groups: Path | None = None
    listing: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _folder_of_a_listing(cls, table: Any) -> Any:
        images = table.get("images") if isinstance(table, dict) else None
        if not isinstance(images, str | Path) or Path(images).name.upper() != "DICOMDIR":
            return table
        return table if Path(images).is_dir() else {**table, "images": Path(images).parent, "listing": images}


class ReadingSettings(Settings):
    """How an image file is read, and what that may take.

    Attributes:
        window: of grey DICOM pictures, such as "40/400" or "lung", instead of the file's own.
        accept_truncated: read a picture that is cut short up to the break, instead of refusing it.
        seconds: of processor time for one file; a slow disk is waited for six times as long.
        memory: MiB for one file, beside what a process takes that has read none.
    """

    window: str = ""
    accept_truncated: bool = False
    seconds: float = Field(default=10.0, gt=0)
    memory: int = Field(default=1024, ge=1)


class IngestSettings(ReadingSettings):
    """Decoding a collection.

    Attributes:
        workers: processes that decode, by default one for each core.
        frames: of DICOM files with several: first, middle, all, or every-N.
        strict: whether a file that is refused ends the ingest with an error.
        headerless: whether bare DICOM data sets, without the usual first bytes, are looked for too.
        salt: a file with the secret that patients' ids are hashed with; made where DICOM is first found.
    """

    workers: int | None = Field(default=None, ge=1)
    frames: str = "first"
    strict: bool = False
    headerless: bool = False
    salt: Path = Path("imageclef.salt")


class ExtractSettings(Settings):
    """Bulk extraction.

    Attributes:
        batch_size: images in flight; memory is bounded by it.
        output: the learner's codes, or the activations of its last levels pooled to 2x2 and joined.
        precision: of the networks' arithmetic; "auto" takes bf16 where the processor computes in it.
    """

    batch_size: int = Field(default=256, ge=1)
    output: Literal["codes", "pooled"] = "codes"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class SplitSettings(Settings):
    """The part of the training collection that nothing is fitted to: thresholds, k and C are tuned on it."""

    fraction: float = Field(default=0.15, gt=0, lt=1)
    seed: int = 0


class ClassifySettings(Settings):
    """How concepts are detected: the window of concepts, the rule, the penalty of the linear detector.

    Attributes:
        top: number of concepts, by falling frequency in the training collection.
        offset: rank of the first of them; a window beyond the first is tuned as one to be joined with others.
        c: inverse strength of the L2 penalty, as in scikit-learn; "auto" takes the best of `cs` on the
            held-out part for all concepts, "per-concept" the best for each.
        rule: how scores become answers; "auto" takes the best in cross-validation on the held-out part.
        class_weight: how much a positive counts, or "balanced".
        refit: whether the final weights are fitted to the held-out part too, once all else is chosen.
    """

    top: int = Field(default=500, ge=1)
    offset: int = Field(default=0, ge=0)
    c: Annotated[float, Field(gt=0)] | Literal["auto", "per-concept"] = "auto"
    cs: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (
        0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0
    )  # fmt: skip
    rule: Literal[
        "auto",
        "global",
        "calibrated",
        "expected-f1",
        "per-concept",
        "fixed-k",
        "calibrated+nearest",
        "expected-f1+nearest",
        "per-concept+nearest",
        "fixed-k+nearest",
    ] = "auto"
    class_weight: Annotated[float, Field(gt=0)] | Literal["balanced"] | None = None
    refit: bool = True


class IndexSettings(Settings):
    """The similarity index.

    Attributes:
        metric: Euclidean distance, or cosine similarity.
        kind: "flat" finds everything; the others are faster over millions of images and find a part.
        recall: which part of the nearest an approximate kind is tuned to find.
    """

    metric: Literal["l2", "cosine"] = "l2"
    kind: Literal["flat", "ivf", "hnsw", "ivfpq"] = "flat"
    recall: float = Field(default=0.95, gt=0, le=1)


class KnnSettings(Settings):
    """Concepts from neighbours; "auto" takes the vote and the k that score best on the held-out part."""

    vote: Literal["auto", "union", "most-frequent", "weighted"] = "auto"
    ks: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (
        1, 2, 3, 5, 8, 13, 20, 30, 50, 80, 120, 200
    )  # fmt: skip


class ProfileSettings(Settings):
    """Feature sets that are searched together, and the weight of each."""

    features: tuple[ArtifactName, ...] = Field(min_length=1)
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()


class Config(Settings):
    """Everything a command needs to know.

    Attributes:
        workspace: where everything that is made goes.
        seed: of every random choice of a learner.
        device: auto, cpu, cuda or cuda:N.
        edition: whose run files are written, and whose score is tuned on.
        collections: by name; learners, classifiers and indexes are made from the one named train.
        learner: a learner's name, its preset, and the settings that depart from it.
        features: names of the feature sets that concepts and neighbours come from, beside each other; by
            default the learner's own.
        weights: of the sets where images are compared, one for each; by default all 1.
        detector: the name of the detector that `classify` fits, and its own settings.
        profiles: feature sets and weights by a name, for ``--profile``.
        concept_names: the task's table of concept names, or MRCONSO.RRF.
    """

    workspace: Path = Path("artifacts")
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    edition: Edition = DEFAULT_EDITION
    collections: dict[ArtifactName, CollectionSettings] = Field(default={})
    learner: dict[str, Any] = Field(default={"name": "aae", "preset": "small"})
    features: tuple[ArtifactName, ...] = ()
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    profiles: dict[str, ProfileSettings] = Field(default={})
    ingest: IngestSettings = IngestSettings()
    split: SplitSettings = SplitSettings()
    extract: ExtractSettings = ExtractSettings()
    detector: dict[str, Any] = Field(default={"name": "linear"})
    classify: ClassifySettings = ClassifySettings()
    concept_names: Path | None = None
    index: IndexSettings = IndexSettings()
    knn: KnnSettings = KnnSettings()

    def collection(self, name: str) -> CollectionSettings:
        """The settings of a named collection.

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self.collections:
            known = ", ".join(self.collections) or "none; add a table [collections.NAME] with images = ..."
            raise ConfigError(f"no collection '{name}' in the configuration; there are: {known}")
        return self.collections[name]


def with_profile(config: Config, name: str | None) -> Config:
    """The configuration with the feature sets and weights of a profile.

    Raises:
        ConfigError: there is none of that name.
    """
    if name is None:
        return config
    if name not in config.profiles:
        known = ", ".join(config.profiles) or "none; add a table [profiles.NAME] with features = [...]"
        raise ConfigError(f"no profile '{name}' in the configuration; there are: {known}")
    profile = config.profiles[name]
    return config.model_copy(update={"features": profile.features, "weights": profile.weights})


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Relative paths in the file are taken from the file's folder; those in `overrides` from the working
    directory, as any path on a command line.

    Args:
        path: a TOML file; by default ``imageclef.toml`` where it exists, else the defaults.
        overrides: ``section.key=value``, each value written as in TOML; bare words are strings.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown, or a value is not of its type.
    """
    where = path or DEFAULT_PATH
    table = read_table(where) if path is not None or DEFAULT_PATH.exists() else {}
    table = _anchored(Config, table, where.parent)
    for override in overrides:
        set_value(table, override)
    return parse_settings(Config, table, str(where))


def _anchored(kind: type[Settings], table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A table whose relative paths begin at a folder; defaults that are paths are written out."""
    anchored = dict(table)
    for key, field in kind.model_fields.items():
        given = anchored.get(key)
        types = {field.annotation, *get_args(field.annotation)}
        inner = next((one for one in types if isinstance(one, type) and issubclass(one, Settings)), None)
        if Path in types:
            given = given if key in anchored else field.get_default()
            anchored |= {key: folder / given} if isinstance(given, str | Path) else {}
        elif inner is not None and isinstance(given, dict) and get_origin(field.annotation) is dict:
            anchored[key] = {
                name: _anchored(inner, one, folder) if isinstance(one, dict) else one
                for name, one in given.items()
            }
        elif inner is not None and isinstance(given, dict | None):
            anchored[key] = _anchored(inner, given or {}, folder)
    return anchored

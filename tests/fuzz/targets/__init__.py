"""One file for each kind of input, and the table of all."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    concept_lists,
    concept_names,
    dicom,
    feature_sets,
    groups,
    hdf5,
    images,
    indexes,
    manifests,
    run_files,
    score_tables,
    settings,
    shards,
    zipped_runs,
)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *(concept_lists.TARGET, concept_names.TARGET, groups.TARGET),
        *(run_files.TARGET, zipped_runs.TARGET, score_tables.TARGET),
        *(settings.TARGET, manifests.TARGET, indexes.TARGET),
        *(feature_sets.TARGET, hdf5.TARGET, shards.TARGET),
        *(images.TARGET, dicom.TARGET),
    )
}

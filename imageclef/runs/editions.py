"""What each edition of the caption task asks of a run file, and how it counts.

Known from the organisers' own programs: 2018, 2022, 2025 and 2026. The others take the nearest rules:

- 2017 is 2018 with a comma between concepts.
- 2019 has the limit of 2020, so that a run is accepted whichever of 2018's and 2020's limits held.
- 2021 has the run files of 2022 and the counting of 2018; 2023 is 2022.
- 2024 is 2025.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from imageclef.errors import ConfigError

MANUAL_CONCEPTS = frozenset(
    {
        *("C0002978", "C0040405", "C0024485", "C0032743", "C0041618", "C1306645", "C1140618", "C0037949"),
        *("C0030797", "C0023216", "C0037303", "C0817096", "C0006141", "C0000726", "C0920367"),
    }
)
"""The concepts of the secondary score: modalities, body regions and others that were set by hand."""


@dataclass(frozen=True)
class Edition:
    """The rules of one year.

    Attributes:
        name: the year.
        separator: between an image id and its concepts in a run.
        concept_separator: between two concepts.
        header: the first line of a run, or None.
        max_concepts: the most concepts that an image may be given.
        ordered: whether the ids of a run must stand in the truth's order.
        strict: whether a run is also refused for another header, white space around a field, a
            concept that is not C and digits, or an id without a separator.
        strips: whether white space around a concept is ignored; else it makes another concept.
        bare_first_line: whether an id without a separator is accepted in the first line.
        zipped: whether a run may come as a zip that holds only ``submission.csv``.
        empty_truth: an image whose truth is empty is left out of the mean ("skipped"), or its truth
            counts as one concept whose name is empty ("a concept"), which an empty answer hits.
        secondary: the concepts of the secondary score; none where the edition has no such score.
    """

    name: str
    separator: str
    concept_separator: str
    header: str | None
    max_concepts: int
    ordered: bool
    strict: bool
    strips: bool
    bare_first_line: bool
    zipped: bool
    empty_truth: Literal["skipped", "a concept"]
    secondary: frozenset[str] = frozenset()

    @property
    def example(self) -> str:
        """A line of a run, for messages."""
        separator = "<TAB>" if self.separator == "\t" else self.separator
        return f"ID{separator}C0000001{self.concept_separator}C0000002"


_2018 = Edition(
    name="2018",
    separator="\t",
    concept_separator=";",
    header=None,
    max_concepts=1286,
    ordered=False,
    strict=False,
    strips=False,
    bare_first_line=False,
    zipped=False,
    empty_truth="skipped",
)
_2021 = replace(_2018, name="2021", separator="|", max_concepts=100, bare_first_line=True)
_2022 = replace(_2021, name="2022", strips=True, empty_truth="a concept")
_2025 = replace(_2022, name="2025", separator=",", header="ID,CUIs", zipped=True, secondary=MANUAL_CONCEPTS)

EDITIONS = {
    edition.name: edition
    for edition in (
        replace(_2018, name="2017", concept_separator=","),
        _2018,
        replace(_2018, name="2019", max_concepts=150),
        replace(_2018, name="2020", max_concepts=150),
        _2021,
        _2022,
        replace(_2022, name="2023"),
        replace(_2025, name="2024"),
        _2025,
        replace(_2025, name="2026", ordered=True, strict=True),
    )
}


def edition_named(name: str) -> Edition:
    """The rules of a year.

    Raises:
        ConfigError: the task did not take place in that year.
    """
    if name not in EDITIONS:
        raise ConfigError(f"no edition '{name}' of the caption task; expected one of {', '.join(EDITIONS)}")
    return EDITIONS[name]

"""A run with what is published beside it: its scores, and the same of the held-out training images.

    NAME.csv                             answers for the images of the run
    NAME/scores.safetensors              how certain they are; may be missing
    NAME/held-out.csv                    the same model's answers for the held-out training images
    NAME/held-out-scores.safetensors     how certain those are; may be missing

What a model answers for images whose truth is known, and that it was not fitted to, is what runs are chosen
and weighted by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array, csr_array

from imageclef.data.concept_list import ConceptLists
from imageclef.data.vocabulary import Vocabulary
from imageclef.errors import ArtifactError, DataError, MissingArtifact
from imageclef.runs.editions import Edition
from imageclef.runs.members import Member
from imageclef.runs.publishing import require_as_published
from imageclef.runs.runfile import read_run, write_run
from imageclef.runs.scores import HELD_OUT, HELD_OUT_SCORES, SCORES, Scores


@dataclass(frozen=True)
class Part:
    """What is known of a run over some images.

    Attributes:
        answers: of each image.
        scores: of some of these images, from 0 to 1; None where there are none.
    """

    answers: ConceptLists
    scores: Scores | None

    def over(self, ids: Sequence[str]) -> Part:
        """The same with its answers in the order of `ids`."""
        return Part({image_id: self.answers[image_id] for image_id in ids}, self.scores)


def read_parts(path: Path, edition: Edition) -> tuple[Part, Part]:
    """Read a run: its own images, and the held-out ones.

    Scores are read where both have them; otherwise neither has any.

    Raises:
        MissingArtifact: there are no answers for held-out images.
        RunRefused: the organisers would refuse one of the files.
        ArtifactError: a file was changed since the run was published; scores are damaged, not between 0 and
            1, or of other images.
        DataError: there is no such run.
    """
    beside = path.with_suffix("")
    require_as_published(path)
    answers, held_out = read_run(path, edition), beside / HELD_OUT
    if not held_out.is_file():
        raise MissingArtifact(f"{held_out} is not there; `imageclef classify` or `knn` writes it with a run")
    held_answers = read_run(held_out, edition)
    if not ((beside / SCORES).is_file() and (beside / HELD_OUT_SCORES).is_file()):
        return Part(answers, None), Part(held_answers, None)
    return (
        Part(answers, _read_scores(beside / SCORES, answers)),
        Part(held_answers, _read_scores(beside / HELD_OUT_SCORES, held_answers)),
    )


def write_parts(path: Path, part: Part, held_out: Part, edition: Edition) -> None:
    """Write a run: what `read_parts` reads. The run itself comes last.

    Raises:
        DataError: an answer that the edition's form cannot hold.
    """
    beside = path.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    for name, scores in ((SCORES, part.scores), (HELD_OUT_SCORES, held_out.scores)):
        if scores is None:
            (beside / name).unlink(missing_ok=True)
        else:
            scores.write(beside / name)
    write_run(beside / HELD_OUT, held_out.answers, edition)
    write_run(path, part.answers, edition)


def same_images(parts: Mapping[str, Part], kind: str = "image") -> list[str]:
    """The images of the runs, in the order of the first.

    Args:
        parts: of each run, by its name.
        kind: what an image is called in the message.

    Raises:
        DataError: two are not of the same images.
    """
    (first, part), *others = parts.items()
    for name, other in others:
        for image_id in chain(part.answers, other.answers):
            if (image_id in part.answers) != (image_id in other.answers):
                raise DataError(
                    f"{kind} '{image_id}' is in only one of {first} and {name}; expected the same images"
                )
    return list(part.answers)


def all_concepts(truth: ConceptLists, parts: Iterable[Part]) -> Vocabulary:
    """The concepts of a truth by falling frequency, then those that are only answered, by name."""
    counted = Vocabulary.count(truth.values())
    known = set(counted.concepts)
    named: set[str] = set()
    for part in parts:
        named.update(chain.from_iterable(part.answers.values()), part.scores.concepts if part.scores else ())
    others = sorted(named - known)
    return Vocabulary((*counted.concepts, *others), (*counted.counts, *[0] * len(others)))


def as_member(name: str, ids: Sequence[str], part: Part, vocabulary: Vocabulary) -> Member:
    """A run as a member of an ensemble; without scores, its answers are its scores.

    Args:
        name: of the run.
        ids: the image of each row.
        part: over these images.
        vocabulary: with every concept of the part; the concept of each column.
    """
    answers = vocabulary.labels([part.answers[image_id] for image_id in ids])
    if part.scores is None:
        return Member(name, answers.astype(np.float32), answers)
    rank = {concept: column for column, concept in enumerate(vocabulary.concepts)}
    row_of = {image_id: row for row, image_id in enumerate(ids)}
    stored = coo_array(part.scores.matrix)
    rows = np.array([row_of[image_id] for image_id in part.scores.ids], dtype=np.int64)[stored.row]
    columns = np.array([rank[concept] for concept in part.scores.concepts], dtype=np.int64)[stored.col]
    seen = stored.data > 0
    scores = csr_array(
        (stored.data[seen].astype(np.float32), (rows[seen], columns[seen])),
        shape=(len(ids), len(vocabulary)),
    )
    scores.sort_indices()
    return Member(name, scores, answers)


def _read_scores(path: Path, answers: ConceptLists) -> Scores:
    scores = Scores.read(path)
    values = scores.matrix.data
    if not ((values >= 0) & (values <= 1)).all():
        raise ArtifactError(f"{path}: a score is not between 0 and 1; expected probabilities")
    for image_id in scores.ids:
        if image_id not in answers:
            raise ArtifactError(
                f"{path}: image '{image_id}' has scores but no answer; expected those of the run"
            )
    return scores

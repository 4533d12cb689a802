"""What index.json says, and that it says all of it, before anyone relies on it.

A digest tells bytes that were changed by accident; this tells a manifest that was written by something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imageclef.retrieval.kinds import Kind
from imageclef.retrieval.vectors import Metric

_Count = Annotated[int, Field(ge=0)]
_Positive = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(ge=0, le=1)]
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z][\w. -]*$", max_length=200)]
"""Of a file in the folder of the index, and nowhere else."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Facts(_Part):
    bytes: _Count
    sha256: str


class _Segment(_Part):
    rows: _FileName
    ids: _FileName
    n: _Count


class _Structure(_Part):
    file: _FileName
    n_rows: _Count


class _Effort(_Part):
    reach: _Positive
    spread: _Positive


class _Recall(_Part):
    asked: _Share
    measured: _Share
    k: _Positive
    n_queries: _Count
    n_rows: _Count
    effort: _Effort


class _Manifest(_Part):
    format: int
    generation: _Positive
    kind: Kind
    metric: Metric
    n_images: _Count
    n_features: _Positive
    dtype: Literal["float32", "float16"]
    made_with: str
    segments: list[_Segment]
    dead: _FileName | None
    structure: _Structure | None
    recall: _Recall | None
    attached: dict[str, _FileName]
    files: dict[_FileName, _Facts]

    @model_validator(mode="after")
    def _knows_its_files(self) -> _Manifest:
        if unknown := set(self._named()).difference(self.files):
            raise ValueError(f"no facts of {min(unknown)}")
        return self

    def _named(self) -> Iterator[str]:
        for segment in self.segments:
            yield from (segment.rows, segment.ids)
        yield from self.attached.values()
        if self.dead is not None:
            yield self.dead
        if self.structure is not None:
            yield self.structure.file


def fault_in(about: Any) -> str:
    """What is wrong with a manifest, in a few words; nothing if it can be relied on."""
    try:
        _Manifest.model_validate(about)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg'].lower()}" if place else first["msg"].lower()
    return ""

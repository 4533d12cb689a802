"""Tables of groups and metadata."""

from __future__ import annotations

from imageclef.data.collection import read_groups
from tests.fuzz.target import Case, Target


def _seeds() -> list[bytes]:
    return [
        b"ID,group\na1,p1\na2,p1\na3,p2\n",
        b'\xef\xbb\xbfgroup,ID,modality\r\np1,a1,CT\r\n"p,2",a2,\r\n',
        b'ID,group,note\na1,p1,"two\nlines"\na2,p2,"a ""quoted"" word"\n',
    ]


def _attempt(case: Case) -> None:
    path = case.file("groups.csv")
    groups = case.ask(path, read_groups, path)
    if groups is not None:
        case.require(list(groups.group_of) == list(groups.metadata.index), "each image has its metadata")
        case.require(all(groups.group_of.values()) and all(groups.group_of), "no id and no group is empty")
        texts = groups.metadata.map(lambda value: isinstance(value, str))
        case.require(bool(texts.to_numpy().all()), "metadata are texts")


TARGET = Target(
    "groups",
    _seeds,
    _attempt,
    tokens=(b"ID", b"group", b"ID,group", b'"', b'""', b"modality", b"\n\n", b"index"),
)

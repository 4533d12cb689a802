"""The page: one document, its style and its scripts, all from the package."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

_PACKAGE = "imageclef.service.page"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page.

    Attributes:
        data: its bytes.
        media_type: of them.
        tag: changes with them.
    """

    data: bytes
    media_type: str
    tag: str


def page() -> str:
    """The document; it holds nothing of a collection, so it may be shown before the token is asked for."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tag = sha256("".join(file.tag for file in static_files().values()).encode()).hexdigest()[:12]
    return environment.get_template("page.html.j2").render(version=version("imageclef"), tag=tag)


def static_files() -> dict[str, StaticFile]:
    """The page's files by name: no other is served."""
    found = {}
    for file in sorted(files(_PACKAGE).joinpath("static").iterdir(), key=lambda one: one.name):
        kind = _MEDIA_TYPES.get(file.name[file.name.rfind(".") :])
        if kind:
            data = file.read_bytes()
            found[file.name] = StaticFile(data, kind, f'"{sha256(data).hexdigest()[:32]}"')
    return found

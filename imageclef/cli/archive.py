"""The similarity index, and the questions that are put to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageclef.cli.calling import BuildByDefault, new_group, stage_command


def add_to(app: typer.Typer) -> None:
    """Add the commands of the index, and those that ask it."""
    group = new_group(
        help="The similarity index: built (also without a command), added to, removed from, checked.",
        cls=BuildByDefault,
    )
    app.add_typer(group, name="index")
    _add_index(group)
    _add_questions(app)


def _add_index(group: typer.Typer) -> None:
    @stage_command(group, "build", profiles=True, writes=True)
    def index(
        kind: Annotated[str | None, typer.Option(help="flat, ivf, hnsw or ivfpq.", metavar="KIND")] = None,
        recall: Annotated[float | None, typer.Option(help="What an approximate kind is to find.")] = None,
    ) -> None:
        """Build the index over collection `train`."""

    @stage_command(group, "add", profiles=True)
    def index_add(
        collection: Annotated[str, typer.Option(help="Whose images are added.", metavar="NAME")],
    ) -> None:
        """Add the images of another collection."""

    @stage_command(group, "remove", profiles=True)
    def index_remove(
        images: Annotated[list[str] | None, typer.Argument(help="Image ids.", show_default=False)] = None,
        ids: Annotated[Path | None, typer.Option(help="A file of more ids.", metavar="FILE")] = None,
    ) -> None:
        """Remove images."""

    @stage_command(group, "info", profiles=True)
    def index_info() -> None:
        """Say what the index is."""

    @stage_command(group, "check", profiles=True)
    def index_check() -> None:
        """Read every byte of the index and hold it against its manifest."""


def _add_questions(app: typer.Typer) -> None:
    @stage_command(app)
    def sync(
        folder: Annotated[
            Path | None, typer.Argument(help="By default the images of collection train.", show_default=False)
        ] = None,
    ) -> None:
        """Bring the index up to date with a folder that grows."""

    @stage_command(app, writes=True)
    def duplicates(
        collection: Annotated[str, typer.Option(help="Whose images are compared.", metavar="NAME")] = "train",
        against: Annotated[
            str | None, typer.Option(help="Another collection; by default themselves.", metavar="NAME")
        ] = None,
        within: Annotated[float, typer.Option(help="The most that two images may be apart.")] = 0.02,
        out: Annotated[Path | None, typer.Option(help="Write all pairs.", metavar="CSV")] = None,
        sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet.", metavar="PNG")] = None,
    ) -> None:
        """Find near-duplicate images, within a collection or across two."""

    @stage_command(app, profiles=True, writes=True)
    def similar(
        images: Annotated[list[Path] | None, typer.Argument(help="Image files.", show_default=False)] = None,
        k: Annotated[int, typer.Option("-k", "--k", help="Number of neighbours.", min=1)] = 10,
        sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet.", metavar="PNG")] = None,
        ids: Annotated[
            list[str] | None,
            typer.Option("--id", help="An indexed image: its id, or COLLECTION/ID.", metavar="ID"),
        ] = None,
        join: Annotated[
            str,
            typer.Option(help="How to combine several query images: their mean, or the best match of any."),
        ] = "mean",
        having: Annotated[
            list[str] | None, typer.Option("--with", help="A concept that answers have.", metavar="CUI")
        ] = None,
        without: Annotated[
            list[str] | None, typer.Option(help="A concept that no answer has.", metavar="CUI")
        ] = None,
        where: Annotated[
            list[str] | None, typer.Option(help="A column of the tables of groups.", metavar="COLUMN=VALUE")
        ] = None,
        among: Annotated[Path | None, typer.Option(help="Search these ids only.", metavar="FILE")] = None,
        leave_out_same: Annotated[bool, typer.Option(help="Leave out what is the same as a query.")] = False,
        why: Annotated[bool, typer.Option(help="Say which regions agree; heatmaps on the sheet.")] = False,
        concept_names: Annotated[
            Path | None, typer.Option(help="The task's table of names, or MRCONSO.RRF.", metavar="FILE")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Write the answers.", metavar="CSV")] = None,
    ) -> None:
        """Show the images of the index that are most similar to one or several images."""

    @stage_command(app, profiles=True)
    def serve(
        host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
        port: Annotated[
            int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)
        ] = 8000,
        token: Annotated[
            str | None,
            typer.Option(
                help="Access token. Required when the server listens on any address but this machine's. "
                "Better set in the environment, where other users cannot read it.",
                envvar="IMAGECLEF_TOKEN",
                metavar="TOKEN",
            ),
        ] = None,
        concept_names: Annotated[
            Path | None, typer.Option(help="Table of concept names, or MRCONSO.RRF.", metavar="FILE")
        ] = None,
        proxies: Annotated[
            list[str] | None,
            typer.Option(
                "--proxy",
                help="Address or network of a reverse proxy whose X-Forwarded headers are trusted; "
                "repeatable.",
                metavar="ADDRESS",
            ),
        ] = None,
        allowed_hosts: Annotated[
            list[str] | None,
            typer.Option(
                "--allowed-host",
                help="Host name under which browsers reach the server, for example behind a reverse proxy; "
                "repeatable.",
                metavar="NAME",
            ),
        ] = None,
        root_path: Annotated[
            str | None, typer.Option(help="Path under which a reverse proxy serves the page.", metavar="PATH")
        ] = None,
    ) -> None:
        """Serve the similarity page and its REST interface until stopped."""

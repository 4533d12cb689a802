"""The path from a folder of images to a run, and what keeps a workspace in order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from imageclef.cli.calling import stage_command

CollectionOption = Annotated[
    str | None, typer.Option("--collection", help="One collection of the configuration.", metavar="NAME")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands, in the order in which they are used."""

    @stage_command(app, writes=True)
    def ingest(
        collection: CollectionOption = None,
        strict: Annotated[bool, typer.Option("--strict", help="A refused file is an error.")] = False,
        accept_truncated: Annotated[
            bool, typer.Option("--accept-truncated", help="Read cut pictures up to the break.")
        ] = False,
        window: Annotated[
            str | None, typer.Option(help="Of grey DICOM pictures: 40/400, or lung.", metavar="WINDOW")
        ] = None,
    ) -> None:
        """Decode images and read concept lists: every collection, or one."""

    @stage_command(app, writes=True)
    def train(collection: CollectionOption = None) -> dict[str, Any]:
        """Fit the feature learner to the images of collection `train`; labels are not used."""
        if collection not in (None, "train"):
            raise typer.BadParameter("learners are trained on collection train", param_hint="--collection")
        return {}

    @stage_command(app, writes=True)
    def extract(collection: CollectionOption = None) -> None:
        """Extract the features of every collection, or of one."""

    @stage_command(app, writes=True)
    def import_features(
        file: Annotated[
            Path, typer.Argument(help="HDF5 with /data and /id, or a .npy matrix.", show_default=False)
        ],
        name: Annotated[str, typer.Option(help="Of the feature set.", metavar="NAME")],
        collection: Annotated[str, typer.Option(help="Whose images the rows are.", metavar="NAME")],
        ids: Annotated[
            Path | None, typer.Option(help="For .npy: a parquet table or a list of ids.", metavar="FILE")
        ] = None,
        id_column: Annotated[str, typer.Option(help="Of the parquet table.", metavar="NAME")] = "id",
    ) -> None:
        """Copy features that others computed into the workspace."""

    @stage_command(app, profiles=True, writes=True)
    def classify(
        top: Annotated[
            int | None, typer.Option(help="Number of concepts, by falling frequency.", min=1)
        ] = None,
        offset: Annotated[int | None, typer.Option(help="Rank of the first of them.", min=0)] = None,
        collection: CollectionOption = None,
    ) -> None:
        """Fit the linear classifier, choose the rule that decides, write a run."""

    @stage_command(app, profiles=True, writes=True)
    def knn(collection: CollectionOption = None) -> None:
        """Write a run from the concepts of the nearest neighbours."""

    @stage_command(app)
    def check() -> None:
        """Read every artifact of the workspace and hold it against its manifest."""

    @stage_command(app, configured=False)
    def demo(
        folder: Annotated[Path, typer.Argument(help="Where to draw the collection and work.")] = Path("demo"),
    ) -> None:
        """Draw a collection and walk the whole path."""

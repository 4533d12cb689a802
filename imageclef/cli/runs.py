"""What is done with run files: refused or scored as the organisers do, joined, reported on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageclef.cli.calling import stage_command

EditionOption = Annotated[
    str | None,
    typer.Option(
        "--edition", help="Whose rules, 2017 to 2026; by default the configured ones.", metavar="YEAR"
    ),
]
OutOption = Annotated[Path, typer.Option(help="The run to write.", metavar="RUN")]


def add_to(app: typer.Typer) -> None:
    """Add the commands that read runs and the lists of the organisers, those that join runs, and findings."""
    _add_scores(app)
    _add_joins(app)
    _add_findings(app)


def _add_scores(app: typer.Typer) -> None:
    @stage_command(app, by_edition=True)
    def validate(
        run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
        ids: Annotated[Path, typer.Option(help="A concept list, or a file of ids.", metavar="LIST")],
        edition: EditionOption = None,
    ) -> None:
        """Refuse what the organisers refuse."""

    @stage_command(app, by_edition=True)
    def evaluate(
        run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
        truth: Annotated[
            Path, typer.Argument(help="The concept list of the same images.", show_default=False)
        ],
        edition: EditionOption = None,
        manual: Annotated[
            Path | None, typer.Option(help="Manual concepts, for 2025 and 2026.", metavar="FILE")
        ] = None,
    ) -> None:
        """Score a run as the organisers do."""

    @stage_command(app, "report", by_edition=True, writes=True)
    def report_runs(
        runs: Annotated[list[Path], typer.Argument(help="Run files of the same images.", show_default=False)],
        truth: Annotated[Path, typer.Option(help="The concept list of these images.", metavar="LIST")],
        out: Annotated[
            Path, typer.Option(help="The page; a JSON file is written beside it.", metavar="HTML")
        ],
        edition: EditionOption = None,
        images: Annotated[Path | None, typer.Option(help="For thumbnails.", metavar="FOLDER")] = None,
        groups: Annotated[
            Path | None,
            typer.Option(help="CSV with ID and group: intervals are over groups.", metavar="FILE"),
        ] = None,
        sources: Annotated[
            str | None, typer.Option(help="A column of it: a score for each value.", metavar="COLUMN")
        ] = None,
        concept_names: Annotated[
            Path | None, typer.Option(help="The task's table of names, or MRCONSO.RRF.", metavar="FILE")
        ] = None,
    ) -> None:
        """Write a page on runs: scores with intervals, comparisons, concepts, confusions, calibration."""


def _add_joins(app: typer.Typer) -> None:
    @stage_command(app, by_edition=True, writes=True)
    def merge(
        runs: Annotated[list[Path], typer.Argument(help="Run files.", show_default=False)],
        out: OutOption,
        edition: EditionOption = None,
        how: Annotated[str, typer.Option(help="union, intersection, majority or vote.")] = "union",
        weights: Annotated[
            list[float] | None, typer.Option("--weight", help="For the vote: one for each run.")
        ] = None,
    ) -> None:
        """Join windows, or let runs vote."""

    @stage_command(app, writes=True)
    def ensemble(
        runs: Annotated[
            list[Path], typer.Argument(help="Runs of classify, knn or ensemble.", show_default=False)
        ],
        out: OutOption,
    ) -> None:
        """Join runs with the weights that are best on held-out images."""


def _add_findings(app: typer.Typer) -> None:
    @stage_command(app, writes=True)
    def findings(
        run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
        out: Annotated[Path, typer.Option(help="The folder to make.", metavar="FOLDER")],
        form: Annotated[
            str, typer.Option(help="sr: a DICOM Structured Report for each image; jsonl: JSON lines.")
        ] = "sr",
        collection: Annotated[
            str | None,
            typer.Option(help="Whose images they are, where the run does not say.", metavar="NAME"),
        ] = None,
        concept_names: Annotated[
            Path | None,
            typer.Option(help="Names of concepts: a table of the task, or MRCONSO.RRF.", metavar="FILE"),
        ] = None,
    ) -> None:
        """Write what a run says of each image, for the archive that the images are from."""

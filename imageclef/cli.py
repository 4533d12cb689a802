"""The command line: one thin command for each stage.

Heavy imports stand inside the commands, so that ``imageclef --help`` answers at once.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from imageclef.errors import ImageclefError

if TYPE_CHECKING:
    from imageclef.config import Config
    from imageclef.progress import Reporter
    from imageclef.stages.report import Report

app = typer.Typer(
    help="Concept detection and similarity search in medical images.",
    epilog="The path: ingest, train, extract, classify (or index and knn), evaluate. First: imageclef demo.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

indexes = typer.Typer(rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
app.add_typer(indexes, name="index")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file. [default: imageclef.toml]", metavar="FILE")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override a setting; repeatable.", metavar="SECTION.KEY=VALUE"),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
CollectionOption = Annotated[
    str | None, typer.Option("--collection", help="One collection of the configuration.", metavar="NAME")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Feature sets of the configuration.", metavar="NAME")
]
EditionOption = Annotated[str, typer.Option("--edition", help="Whose rules: 2018 to 2026.", metavar="YEAR")]


@app.command()
def ingest(
    config: ConfigOption = None,
    set_: SetOption = None,
    collection: CollectionOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Decode images and read concept lists: every collection, or one."""
    _stage("ingest", config, set_, device, as_json, quiet, collection=collection)


@app.command()
def train(
    config: ConfigOption = None,
    set_: SetOption = None,
    collection: CollectionOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit the feature learner to the images of collection `train`; labels are not used."""
    _only_train(collection)
    _stage("train", config, set_, device, as_json, quiet)


@app.command()
def extract(
    config: ConfigOption = None,
    set_: SetOption = None,
    collection: CollectionOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Extract the features of every collection, or of one."""
    _stage("extract", config, set_, device, as_json, quiet, collection=collection)


@app.command("import-features")
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
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Copy features that others computed into the workspace."""
    _stage(
        "import_features",
        config,
        set_,
        None,
        as_json,
        quiet,
        file=file,
        name=name,
        collection=collection,
        ids=ids,
        id_column=id_column,
    )


@app.command()
def classify(
    top: Annotated[int | None, typer.Option(help="Number of concepts, by falling frequency.", min=1)] = None,
    offset: Annotated[int | None, typer.Option(help="Rank of the first of them.", min=0)] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    collection: CollectionOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit the linear classifier, tune its thresholds, write a run."""
    _stage("classify", config, set_, device, as_json, quiet, collection=collection, top=top, offset=offset)


@indexes.callback(invoke_without_command=True)
def index(
    context: typer.Context,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """The similarity index: built over collection `train`, added to, removed from, checked."""
    if context.invoked_subcommand is None:
        _stage("index", config, set_, device, as_json, quiet, profile=profile)


@indexes.command("build")
def index_build(
    kind: Annotated[str | None, typer.Option(help="flat, ivf, hnsw or ivfpq.", metavar="KIND")] = None,
    recall: Annotated[float | None, typer.Option(help="What an approximate kind is to find.")] = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Build the index over collection `train`: what `imageclef index` alone does."""
    asked = [
        f"index.{key}={value}" for key, value in (("kind", kind), ("recall", recall)) if value is not None
    ]
    _stage("index", config, [*(set_ or []), *asked], device, as_json, quiet, profile=profile)


@indexes.command("add")
def index_add(
    collection: Annotated[str, typer.Option(help="Whose images are added.", metavar="NAME")],
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Add the images of another collection."""
    _stage("index_add", config, set_, None, as_json, quiet, profile=profile, collection=collection)


@indexes.command("remove")
def index_remove(
    images: Annotated[list[str] | None, typer.Argument(help="Image ids.", show_default=False)] = None,
    ids: Annotated[Path | None, typer.Option(help="A file of more ids.", metavar="FILE")] = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove images."""
    _stage("index_remove", config, set_, None, as_json, quiet, profile=profile, images=images or [], ids=ids)


@indexes.command("info")
def index_info(
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what the index is."""
    _stage("index_info", config, set_, None, as_json, quiet, profile=profile)


@indexes.command("check")
def index_check(
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read every byte of the index and hold it against its manifest."""
    _stage("index_check", config, set_, None, as_json, quiet, profile=profile)


@app.command()
def sync(
    folder: Annotated[
        Path | None, typer.Argument(help="By default the images of collection train.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring the index up to date with a folder that grows."""
    _stage("sync", config, set_, device, as_json, quiet, folder=folder)


@app.command()
def duplicates(
    collection: Annotated[str, typer.Option(help="Whose images are compared.", metavar="NAME")] = "train",
    against: Annotated[
        str | None, typer.Option(help="Another collection; by default themselves.", metavar="NAME")
    ] = None,
    within: Annotated[float, typer.Option(help="The most that two images may be apart.")] = 0.02,
    out: Annotated[Path | None, typer.Option(help="Write all pairs.", metavar="CSV")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet.", metavar="PNG")] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find near-duplicate images, within a collection or across two."""
    _stage(
        "duplicates",
        config,
        set_,
        None,
        as_json,
        quiet,
        collection=collection,
        against=against,
        within=within,
        out=out,
        sheet=sheet,
    )


@app.command()
def knn(
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    collection: CollectionOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a run from the concepts of the nearest neighbours."""
    _stage("knn", config, set_, device, as_json, quiet, profile=profile, collection=collection)


@app.command()
def similar(
    images: Annotated[list[Path] | None, typer.Argument(help="Image files.", show_default=False)] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Number of neighbours.", min=1)] = 10,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet.", metavar="PNG")] = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", help="Ask by an image of the index.", metavar="ID")
    ] = None,
    join: Annotated[str, typer.Option(help="Of several queries: mean, or best of.")] = "mean",
    with_: Annotated[
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
    why: Annotated[bool, typer.Option(help="Say which regions agree; heat maps on the sheet.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the answers.", metavar="CSV")] = None,
    profile: ProfileOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the images of the index that are most similar to one or several images."""
    _stage(
        "similar",
        config,
        set_,
        device,
        as_json,
        quiet,
        profile=profile,
        images=images or [],
        k=k,
        sheet=sheet,
        ids=id_ or [],
        join=join,
        having=with_ or [],
        without=without or [],
        where=where or [],
        among=among,
        leave_out_same=leave_out_same,
        out=out,
        why=why,
    )


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any that is free.", min=0, max=65535)] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            help="Demanded of every request; others' addresses need one. Better from the environment.",
            envvar="IMAGECLEF_TOKEN",
            metavar="TOKEN",
        ),
    ] = None,
    concept_names: Annotated[
        Path | None, typer.Option(help="The task's table of names, or MRCONSO.RRF.", metavar="FILE")
    ] = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Serve the similarity page and its REST interface until stopped."""
    _stage(
        "serve",
        config,
        set_,
        device,
        as_json,
        quiet,
        host=host,
        port=port,
        token=token,
        concept_names=concept_names,
    )


@app.command()
def validate(
    run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
    ids: Annotated[Path, typer.Option(help="A concept list, or a file of ids.", metavar="LIST")],
    edition: EditionOption = "2018",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Refuse what the organisers refuse."""
    _call("validate", as_json, quiet, run=run, ids=ids, edition=edition)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run file.", show_default=False)],
    truth: Annotated[Path, typer.Argument(help="The concept list of the same images.", show_default=False)],
    edition: EditionOption = "2018",
    manual: Annotated[
        Path | None, typer.Option(help="Manual concepts, for 2025 and 2026.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score a run as the organisers do."""
    _call("evaluate", as_json, quiet, run=run, truth=truth, edition=edition, manual=manual)


@app.command()
def merge(
    runs: Annotated[list[Path], typer.Argument(help="Run files.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The run to write.", metavar="RUN")],
    edition: EditionOption = "2018",
    how: Annotated[str, typer.Option(help="union, intersection, majority or vote.")] = "union",
    weight: Annotated[list[float] | None, typer.Option(help="For the vote: one for each run.")] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Join windows, or let runs vote."""
    _call("merge", as_json, quiet, runs=runs, out=out, edition=edition, how=how, weights=weight)


@app.command()
def ensemble(
    runs: Annotated[
        list[Path], typer.Argument(help="Runs of classify, knn or ensemble.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The run to write.", metavar="RUN")],
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Join runs with the weights that are best on held-out images."""
    _stage("ensemble", config, set_, None, as_json, quiet, runs=runs, out=out)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run files of the same images.", show_default=False)],
    truth: Annotated[Path, typer.Option(help="The concept list of these images.", metavar="LIST")],
    out: Annotated[Path, typer.Option(help="The page; a JSON file is written beside it.", metavar="HTML")],
    edition: EditionOption = "2018",
    images: Annotated[Path | None, typer.Option(help="For thumbnails.", metavar="FOLDER")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="CSV with ID and group: intervals are over groups.", metavar="FILE")
    ] = None,
    sources: Annotated[
        str | None, typer.Option(help="A column of it: a score for each value.", metavar="COLUMN")
    ] = None,
    concept_names: Annotated[
        Path | None, typer.Option(help="The task's table of names, or MRCONSO.RRF.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a page on runs: scores with intervals, comparisons, concepts, confusions, calibration."""
    _call(
        "report_runs",
        as_json,
        quiet,
        runs=runs,
        truth=truth,
        out=out,
        edition=edition,
        images=images,
        groups=groups,
        sources=sources,
        concept_names=concept_names,
        reporter=_reporter(as_json, quiet),
    )


@app.command()
def check(
    config: ConfigOption = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read every artifact of the workspace and hold it against its manifest."""
    _stage("check", config, set_, None, as_json, quiet)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to draw the collection and work.")] = Path("demo"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw a collection of phantoms and walk the whole path."""
    _call("demo", as_json, quiet, folder=folder, reporter=_reporter(as_json, quiet))


def main() -> None:
    """Run a command: an error that imageclef raises is one line and exit code 1."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        app()
    except ImageclefError as error:
        _fail(str(error))
    except (OSError, MemoryError) as error:
        _fail(f"{type(error).__name__}: {error}")


def _stage(
    stage: str,
    config: Path | None,
    overrides: list[str] | None,
    device: str | None,
    as_json: bool,
    quiet: bool,
    profile: str | None = None,
    **arguments: Any,
) -> None:
    """Run a stage that works by the configuration."""
    from imageclef.config import load_config, with_profile

    asked = load_config(config, [*(overrides or []), *([f"device={device}"] if device else [])])
    settings: Config = with_profile(asked, profile)
    _call(stage, as_json, quiet, config=settings, **arguments, reporter=_reporter(as_json, quiet))


def _call(stage: str, as_json: bool, quiet: bool, **arguments: Any) -> None:
    """Call the function of `imageclef.stages`, and print its report."""
    from imageclef import stages

    function: Callable[..., Report] = getattr(stages, stage)
    report = function(**arguments)
    if as_json:
        typer.echo(json.dumps(_flat(report)))
    elif not quiet:
        from imageclef.terminal import print_report

        print_report(report)
    if not report.ok:
        sys.exit(1)


def _flat(report: Report) -> dict[str, Any]:
    """The report with its figures at the top, as scripts want them."""
    facts = report.as_json()
    figures: dict[str, Any] = facts.pop("figures")
    return {**figures, **facts}


def _reporter(as_json: bool, quiet: bool) -> Reporter:
    from imageclef.terminal import reporter

    return reporter(silent=quiet or as_json)


def _only_train(collection: str | None) -> None:
    if collection not in (None, "train"):
        raise typer.BadParameter("learners are trained on collection train", param_hint="--collection")


def _stop(signum: int, frame: object) -> NoReturn:
    typer.echo("imageclef: stopped; the same command goes on from here", err=True)
    sys.exit(128 + signum)


def _fail(message: str) -> NoReturn:
    typer.echo(f"imageclef: {' '.join(message.split())}", err=True)
    sys.exit(1)

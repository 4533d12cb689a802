"""A report as one HTML file that needs nothing else: no network, no fonts, no script but its own.

Names, ids and whatever stands in a run are escaped by the template (autoescape), and the page's
Content-Security-Policy admits its one script by its digest alone: text that slipped through would not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from imageclef.reporting.charts import Mark, bars, dots, reliability
from imageclef.reporting.content import Content, RunContent
from imageclef.reporting.examples import Thumbnail
from imageclef.reporting.measures import Comparison

_PACKAGE = "imageclef.reporting"
_ROWS = 6000
"""Lines of all tables of concepts together: 2 MB, with the thumbnails 5."""
_CHARTED_RUNS = 4
_CHARTED_SOURCES = 20


def render(content: Content, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The page.

    Args:
        content: what it says.
        thumbnails: pictures by image id; ids without one are shown as text.
    """
    script = files(_PACKAGE).joinpath("sort.js").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    counts = content.inputs.vocabulary.counts
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            content=content,
            thumbnails=thumbnails,
            n_truth_concepts=sum(count > 0 for count in counts),
            truth_per_image=sum(counts) / len(content.inputs.ids),
            scores_chart=_scores_chart(content),
            compared=_compared(content),
            sources_chart=_sources_chart(content),
            calibration_charts=[_calibration_chart(run) for run in content.runs],
            most_rows=max(100, _ROWS // len(content.runs)),
            version=version("imageclef"),
            script=script,
            script_hash=f"sha256-{digest}",
        )
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _label(run: RunContent) -> str:
    return f"{run.number}  {run.name}"


def _scores_chart(content: Content) -> str:
    marks = [Mark(_label(run), run.measures.f1) for run in content.runs]
    return dots("Official F1 of the runs, with 95 % intervals", marks)


def _compared(content: Content) -> list[tuple[RunContent, list[Comparison], str]]:
    """Against the first run, and against the best one if that is another."""
    if len(content.runs) < 2:
        return []
    found = []
    for place in dict.fromkeys((0, content.best)):
        comparisons = [one for one in content.comparisons if one.against == place]
        marks = [Mark(_label(content.runs[one.run]), one.difference) for one in comparisons]
        against = content.runs[place]
        title = f"Differences of official F1 from run {against.number}, with 95 % intervals"
        found.append((against, comparisons, dots(title, marks, reference=0.0, sign="+")))
    return found


def _sources_chart(content: Content) -> str | None:
    """None where there is nothing to draw, or too much to be read."""
    if not content.sources or len(content.runs) > _CHARTED_RUNS:
        return None
    groups = [
        (source.name, [Mark(str(run.number), run.measures.f1_by_source[place]) for run in content.runs])
        for place, source in enumerate(content.sources[:_CHARTED_SOURCES])
    ]
    return bars("Official F1 by source, with 95 % intervals", groups)


def _calibration_chart(run: RunContent) -> str | None:
    if run.calibration is None:
        return None
    return reliability(f"Reliability diagram of run {run.number}", run.calibration)

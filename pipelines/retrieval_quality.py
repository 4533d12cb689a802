"""How good similarity search is: the measures of retrieval for several feature sets, against plain rows.

    python pipelines/retrieval_quality.py FOLDER --workspace WORKSPACE --features aae-small [-k 10]

FOLDER is as for `uapt_2018.py`, WORKSPACE one that has the feature sets of these names; a + puts sets beside
each other. Images of valid ask, images of train answer. Concepts of modality and of anatomy are those of the
lists below, which hold for the collection of docs/benchmarks.md.
Every answer is held against brute force in float64. The last line is JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from imageclef.config import Config
from imageclef.data.vocabulary import Vocabulary
from imageclef.retrieval.index import Index
from imageclef.retrieval.measures import Quality, quality, random_rows
from imageclef.workspace import Workspace

# Magnetic resonance, CT, plain x-ray, microscopy, ultrasound, angiogram, fluoroscopy, CT and MR angiography,
# mammography, Doppler ultrasound.
MODALITIES = (
    *("C0024485", "C0040405", "C1306645", "C0026018", "C0041618", "C0002978", "C0016356"),
    *("C1536105", "C0243032", "C0024671", "C0554756"),
)
# Skull, brain, lung, chest, skin, breast, blood, eye, retina, musculoskeletal, gastrointestinal and
# genitourinary system, vertebral column, head and neck, lower and upper extremity, heart, abdomen, back,
# face, kidney, trunk.
ANATOMY = (
    *("C0037303", "C0006104", "C0024109", "C0817096", "C1123023", "C0006141", "C0005767"),
    *("C0015392", "C0035298", "C0026860", "C0017189", "C0042066", "C0037949", "C0460004"),
    *("C0023216", "C1140618", "C0018787", "C0000726", "C0004600", "C0015450", "C0022646"),
    *("C0460005"),
)


def brute_force(
    queries: NDArray[np.float32], rows: NDArray[np.float32], k: int, metric: Literal["l2", "cosine"]
) -> NDArray[np.float64]:
    """The k best distances of each query in float64, (n_queries, k)."""
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "cosine":
        q, x = (m / np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-300) for m in (q, x))
        return -np.sort(-(q @ x.T), axis=1)[:, :k]
    gaps = np.stack([np.sort(np.square(x - one).sum(axis=1))[:k] for one in q])
    return np.asarray(np.sqrt(gaps))


def line(name: str, found: Quality) -> str:
    """A row of the table."""
    rates = [f"{found.same[group]:.3f}" for group in ("modality", "anatomy")]
    means = [f"{mean:.3f}" for mean in (found.precision, found.average_precision, found.ndcg)]
    return f"| {name} | {' | '.join([*means, *rates])} |"


def main(
    data: Annotated[Path, typer.Argument(help="Holds train, valid and their concept lists.")],
    workspace: Annotated[Path, typer.Option(help="With the feature sets.")],
    features: Annotated[list[str], typer.Option(help="Feature sets; repeatable.")],
    k: Annotated[int, typer.Option("-k", help="Images found for each query.")] = 10,
) -> None:
    """Measure and print."""
    collections = {
        name: {"images": data / name, "concepts": data / f"{name}-concepts.csv"}
        for name in ("train", "valid")
    }
    typer.echo(
        "| features, metric | precision | mean average precision | nDCG | same modality | same anatomy |"
    )
    typer.echo("|---|---|---|---|---|---|")
    figures: dict[str, object] = {}
    for number, name in enumerate(features):
        config = Config.model_validate(
            {"workspace": workspace, "collections": collections, "features": tuple(name.split("+"))}
        )
        work = Workspace(config)
        train, valid = work.features("train", unit=True), work.features("valid", unit=True)
        lists = [work.collection(part).concepts or {} for part in ("train", "valid")]
        vocabulary = Vocabulary.count(lists[0].values())
        labels, asked = (
            vocabulary.labels([concepts.get(i, ()) for i in part.ids])
            for part, concepts in zip((train, valid), lists, strict=True)
        )
        groups = {
            group: [vocabulary.concepts.index(one) for one in concepts if one in vocabulary.concepts]
            for group, concepts in (("modality", MODALITIES), ("anatomy", ANATOMY))
        }
        if not number:
            blind = quality(random_rows(len(valid), len(train), k), asked, labels, groups)
            figures["random"] = asdict(blind)
            typer.echo(line("random", blind))
        metrics: tuple[Literal["l2", "cosine"], ...] = ("l2", "cosine")
        for metric in metrics:
            queries = valid.features[:]
            distances, rows = Index.of(train.features, train.ids, metric).search(queries, k)
            exact = brute_force(queries, train.features[:], k, metric)
            off = float(np.abs(distances - exact).max() / max(1.0, float(np.abs(exact).max())))
            found = quality(rows, asked, labels, groups)
            typer.echo(line(f"{name}, {metric}", found))
            figures[f"{name}, {metric}"] = {**asdict(found), "largest_relative_error_of_a_distance": off}
    typer.echo(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)

"""The whole path over drawn images, once for all tests that need it; helpers around it."""

from __future__ import annotations

from pathlib import Path

from imageclef.config import Config
from imageclef.demo.drawn import DrawnCollection
from imageclef.stages.report import Report

Reports = dict[str, Report]

LEARNER = {"name": "aae", "image_size": 36, "crop_size": 32, "width": 8, "latent_dim": 48, "epochs": 6,
           "batch_size": 16, "discriminator_width": 32}  # fmt: skip


def config_of(folder: Path, drawn: DrawnCollection, **tables: object) -> Config:
    """The configuration of a drawn collection, all that is made in the folder."""
    collections = {
        "train": {
            "images": drawn.train_images,
            "concepts": drawn.train_concepts,
            "groups": drawn.train_groups,
        },
        "test": {"images": drawn.test_images, "concepts": drawn.test_concepts},
    }
    return Config.model_validate(
        {"workspace": folder / "artifacts", "device": "cpu", "collections": collections, **tables}
    )


def with_tables(config: Config, **tables: object) -> Config:
    return Config.model_validate({**config.model_dump(), **tables})


def runs_of(report: Report) -> list[Path]:
    return list(map(Path, report.runs))

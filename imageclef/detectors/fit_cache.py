"""A cache of fits on disk: a path over many values of C that was stopped goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from imageclef.detectors.objective import Position
from imageclef.detectors.problem import ConvergenceReport, Fit
from imageclef.errors import ArtifactError
from imageclef.learners.checkpoint import load_tensors, save_tensors


@dataclass(frozen=True)
class FitCache:
    """A folder with one file for each C; a file is valid only for the problem that it was made for.

    Attributes:
        folder: created where missing; None stores nothing.
        problem: what everything in a file depends on, in words or as a digest.
    """

    folder: Path | None
    problem: str

    def save(self, c: float, position: Position, fit: Fit) -> None:
        """Store where a fit ended; the file appears whole or not at all."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"position.{field.name}": getattr(position, field.name) for field in fields(position)}
        arrays = {"fit.weights": fit.weights, "fit.intercepts": fit.intercepts}
        arrays |= {f"report.{field.name}": getattr(fit.report, field.name) for field in fields(fit.report)}
        tensors |= {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
        save_tensors(self._path(self.folder, c), tensors, {"problem": self.problem})

    def load(self, c: float, device: torch.device) -> tuple[Position, Fit] | None:
        """What `save` stored for this problem; None if there is nothing, or if the file is damaged."""
        if self.folder is None:
            return None
        try:
            tensors, meta = load_tensors(self._path(self.folder, c))
        except ArtifactError:
            return None
        if meta != {"problem": self.problem}:
            return None
        position = Position(*(tensors[f"position.{field.name}"].to(device) for field in fields(Position)))
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        names = [field.name for field in fields(ConvergenceReport)]
        report = ConvergenceReport(**{name: arrays[f"report.{name}"] for name in names})
        return position, Fit(arrays["fit.weights"], arrays["fit.intercepts"], report)

    @staticmethod
    def _path(folder: Path, c: float) -> Path:
        return folder / f"c-{c!r}.safetensors"

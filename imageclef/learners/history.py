"""The losses of a training by epoch: a file without times, and the same for TensorBoard.

history.jsonl    one JSON object an epoch: its number from 1, and the mean of each loss
tensorboard/     event files, which hold times and the name of the machine
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

HISTORY, TENSORBOARD = "history.jsonl", "tensorboard"


def record_epoch(folder: Path, epoch: int, losses: Mapping[str, float]) -> None:
    """Append an epoch; entries that a killed training had already written for it or later are replaced."""
    history, beside = folder / HISTORY, folder / f".{HISTORY}.partial"
    earlier = history.read_text(encoding="utf-8").splitlines()[:epoch] if history.exists() else []
    entry = json.dumps({"epoch": epoch + 1, **losses})
    beside.write_text("\n".join([*earlier, entry]) + "\n", encoding="utf-8")
    beside.replace(history)
    with SummaryWriter(str(folder / TENSORBOARD), purge_step=epoch + 1) as writer:
        for name, loss in losses.items():
            writer.add_scalar(f"loss/{name}", loss, epoch + 1)

"""From the bytes that a visitor sends to the features that the index is asked with."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from imageclef.data.decoding import decode
from imageclef.errors import DataError, ImageRefused
from imageclef.features.extract import features_of
from imageclef.workspace import Workspace


class Encoder:
    """The learner of a workspace, ready for images one at a time, from any thread."""

    def __init__(self, workspace: Workspace) -> None:
        """Load the learner.

        Raises:
            MissingArtifact: it is not there.
        """
        self._learner = workspace.learner()
        self._size, self._mode = workspace.choice.settings.image_size, workspace.mode
        self._output, self._precision = workspace.config.extract.output, workspace.precision
        self._device = workspace.device

    def features(self, upload: BinaryIO) -> NDArray[np.float32]:
        """Features of an upload, (1, n_features).

        It is written to a file of its own, which is gone afterwards, and read by the decoder that reads
        collections: nothing that a client names is ever opened.

        Raises:
            DataError: it cannot be read; the message is a sentence for the visitor.
        """
        with NamedTemporaryFile(prefix="imageclef-") as file:
            shutil.copyfileobj(upload, file)
            file.flush()
            pixels = self._decoded(Path(file.name))
        batch = torch.from_numpy(pixels).permute(2, 0, 1).expand(3, -1, -1)[None].to(self._device)
        features = features_of(self._learner, batch, self._output, self._precision).cpu().numpy()
        if not np.isfinite(features).all():
            raise DataError("the features of this image are not finite numbers; expected another image")
        return np.asarray(features, np.float32)

    def _decoded(self, path: Path) -> NDArray[np.uint8]:
        """Pixels, (size, size, channels)."""
        if not path.stat().st_size:
            raise DataError("the file is empty; expected an image")
        try:
            return decode(path, self._size, self._mode).pixels
        except ImageRefused as refusal:
            reason = str(refusal).replace(str(path), "the file")
            raise DataError(f"the file cannot be read: {reason}; expected an image") from None

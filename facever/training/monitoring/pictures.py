"""train_batch.png: what the network really sees."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from facever.core.files import atomic_path


def save_batch_picture(images: Tensor, labels: Tensor, path: Path, most: int = 64) -> None:
    """Write the first images of a batch as one sheet, images of one identity framed alike.

    Args:
        images: uint8 [B, 3, H, W], as they leave the loader.
        labels: int64 [B].
        path: The PNG to write.
        most: How many images at most.
    """
    shown = images[:most].permute(0, 2, 3, 1).cpu().numpy()
    count, height, width = shown.shape[:3]
    columns = int(np.ceil(np.sqrt(count)))
    rows = int(np.ceil(count / columns))
    border = max(1, width // 32)
    cell_height, cell_width = height + 2 * border, width + 2 * border
    sheet = np.full((rows * cell_height, columns * cell_width, 3), 255, np.uint8)
    for place, (image, label) in enumerate(zip(shown, labels.tolist(), strict=False)):
        top, left = place // columns * cell_height, place % columns * cell_width
        sheet[top : top + cell_height, left : left + cell_width] = _color(label)
        sheet[top + border : top + border + height, left + border : left + border + width] = image
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _color(label: int) -> npt.NDArray[np.uint8]:
    hue = np.uint8(label * 67 % 180)  # 67 is prime to 180: neighbours in number differ in colour
    pixel = np.array([[[hue, 160, 230]]], np.uint8)
    color: npt.NDArray[np.uint8] = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return color

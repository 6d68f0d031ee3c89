"""Photos as requests to the service, and a model of crops."""

import base64

import cv2
import numpy as np

from tests.squares import AlignedColours, patch, photo

HOST = "http://localhost"


def file_of(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels[:, :, ::-1])[1].tobytes()


def shot(person: str, row: int = 0) -> bytes:
    """A photo of a person, a file; each row is another photo."""
    return file_of(photo((10 + row, 20 - row, 30 + row, patch(ord(person)))))


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{row}.png", one)) for row, one in enumerate(images)]


class CropColours(AlignedColours):
    """A model without faces, as in ReID: images are crops."""

    fingerprint, alignment = "colours of crops", "none"

    def embed(self, images):
        return AlignedColours.embed(self, [cv2.resize(image, (16, 16)) for image in images])

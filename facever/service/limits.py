"""Limits of the service: what one request may hold, and how many there may be at once."""

from pydantic import Field

from facever.config import Config

LOG_DAYS = 183
"""Days that a row of the log of uses is kept: six months."""

MIB = 2**20


class Limits(Config):
    """Limits of a service; each has a default.

    Attributes:
        body_bytes: Bytes of a request's body.
        image_bytes: Bytes of one image file.
        pixels: Pixels of one image; the images of one request have at most four times as many.
        faces: Faces of one photo, where every face is asked for.
        images: Images or embeddings of one request.
        candidates: Candidates for each probe, the largest `k`.
        page: People on a page.
        seconds: Seconds in which a request's header, and then its body, must arrive.
        requests: Requests in progress, of all callers.
        requests_each: Requests in progress, of one caller.
        queue: Images that wait for a turn or for the model; no request with images is admitted
            while as many wait.
        batch: Images that the model gets at once.
    """

    body_bytes: int = Field(default=64 * MIB, ge=1)
    image_bytes: int = Field(default=16 * MIB, ge=1)
    pixels: int = Field(default=50_000_000, ge=1)
    faces: int = Field(default=64, ge=1)
    images: int = Field(default=64, ge=1)
    candidates: int = Field(default=100, ge=1)
    page: int = Field(default=1000, ge=1)
    seconds: float = Field(default=30.0, gt=0)
    requests: int = Field(default=256, ge=1)
    requests_each: int = Field(default=64, ge=1)
    queue: int = Field(default=256, ge=1)
    batch: int = Field(default=32, ge=1)

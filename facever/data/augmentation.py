"""Augmentation: random changes of a training image, each sample seeded by (seed, epoch, index).

The pipeline is one albumentations `Compose`; only this module imports albumentations. All
transforms share one pair of generators, whose state is reset for every sample: the changes of an
image depend only on the seed, the epoch and the image's index, not on the process that loads it or
on images loaded before. Setting the state takes about 7 us, a new seed 100.
"""

import os
import random
import struct
import warnings
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np
from pydantic import AfterValidator, Field, field_validator

from facever import plugins
from facever.config import Config
from facever.data.preprocessing import Image
from facever.errors import ConfigError

if TYPE_CHECKING:
    from albumentations import BasicTransform, Compose

_TRIALS = 8  # images on which a configured transform is tested


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("a range must be (low, high) with low <= high")
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Chance = Annotated[float, Field(ge=0, le=1, description="probability of this change")]
_Positive = Annotated[float, Field(gt=0)]
_Factor = Annotated[float, Field(ge=0.01, le=100)]
_UpToOne = Annotated[float, Field(gt=0, le=1)]
_BelowOne = Annotated[float, Field(gt=0, lt=1)]
_Quality = Annotated[int, Field(ge=1, le=100)]
Range = Annotated[tuple[_Positive, _Positive], AfterValidator(_ordered)]
FactorRange = Annotated[tuple[_Factor, _Factor], AfterValidator(_ordered)]
ShareRange = Annotated[tuple[_UpToOne, _UpToOne], AfterValidator(_ordered)]
PartRange = Annotated[tuple[_BelowOne, _BelowOne], AfterValidator(_ordered)]
QualityRange = Annotated[tuple[_Quality, _Quality], AfterValidator(_ordered)]


class Flip(Config):
    """Mirror horizontally."""

    probability: Chance = 0.5


class Crop(Config):
    """Crop a part and resize it to the full size: `area` is its share of the image, `ratio` its w /
    h.

    `ratio` is relative to the ratio of the image.
    """

    probability: Chance = 0.3
    area: ShareRange = Field((0.8, 1.0), description="share of the image that is kept: low, high")
    ratio: FactorRange = Field(
        (0.9, 1.1), description="width over height, relative to that of the image: low, high"
    )


class Affine(Config):
    """Rotate (up to +-`rotation` degrees), scale by a factor, shift by a share of each side.

    Areas outside the image are filled by mirroring.
    """

    probability: Chance = 0.3
    rotation: float = Field(default=8.0, ge=0, le=180, description="largest angle in degrees")
    scale: FactorRange = Field((0.92, 1.08), description="factor of the size: low, high")
    shift: Share = Field(0.04, description="largest shift, as a share of each side")


class Color(Config):
    """Jitter by factors 1 +- `brightness`, `contrast`, `saturation`; `hue` by +- turns of the
    colour circle.

    The order is random.
    """

    probability: Chance = 0.5
    brightness: Share = Field(0.25, description="largest change of the factor from 1")
    contrast: Share = Field(0.25, description="largest change of the factor from 1")
    saturation: Share = Field(0.2, description="largest change of the factor from 1")
    hue: float = Field(default=0.02, ge=0, le=0.5, description="largest turn of the colour circle")


class Grey(Config):
    """Convert to grey."""

    probability: Chance = 0.05


class Blur(Config):
    """Gaussian blur; `sigma` in pixels."""

    probability: Chance = 0.1
    sigma: Range = Field((0.3, 1.5), description="width of the blur in pixels: low, high")


class Downscale(Config):
    """Shrink to `scale` of the size and enlarge again, to simulate a distant face."""

    probability: Chance = 0.1
    scale: PartRange = Field((0.4, 0.8), description="share of each side: low, high")


class Jpeg(Config):
    """Compress with JPEG at a `quality` of 1 to 100."""

    probability: Chance = 0.1
    quality: QualityRange = Field((40, 90), description="of the JPEG: low, high")


class Erase(Config):
    """Fill one rectangle, its sides shares `sides` of the image's, with one random colour.

    Reference:
        Zhong et al., "Random Erasing Data Augmentation", AAAI 2020.
    """

    probability: Chance = 0.2
    sides: PartRange = Field((0.1, 0.4), description="sides, as shares of those of the image")


class TransformConfig(Config):
    """Any albumentations transform: one of the library, or a class derived from its BasicTransform.

    It must draw random numbers only from its `py_random` or `random_generator`, which are seeded
    for each sample.
    """

    name: str = Field(description="path of the class, such as albumentations.GaussNoise")
    probability: Chance = 0.5
    parameters: dict[str, Any] = Field({}, description="arguments of the class, except p")

    @field_validator("name")
    @classmethod
    def _is_path(cls, name: str) -> str:
        if not plugins.is_object(_with_colon(name)):
            raise ValueError("write package.module.Name, such as albumentations.GaussNoise")
        return name

    @field_validator("parameters")
    @classmethod
    def _without_p(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if "p" in parameters:
            raise ValueError("p is set by `probability`: omit it here")
        return parameters


def _with_colon(name: str) -> str:
    """Return "package.module.Name" as "package.module:Name"."""
    return name if ":" in name else ":".join(name.rsplit(".", 1))


class AugmentationConfig(Config):
    """The changes, in the order in which they are applied; probability 0 disables one.

    The defaults are mild: they are made for aligned faces.
    """

    flip: Flip = Flip()
    crop: Crop = Crop()
    affine: Affine = Affine()
    color: Color = Color()
    grey: Grey = Grey()
    blur: Blur = Blur()
    downscale: Downscale = Downscale()
    jpeg: Jpeg = Jpeg()
    erase: Erase = Erase()
    transforms: list[TransformConfig] = Field(
        [], description="additional transforms, applied in this order"
    )


class Augmentation:
    """A pipeline for images of one size; can be copied to other processes.

    Args:
        config: The changes.
        size: (height, width) of the images, in pixels.

    Raises:
        ConfigError: Crops or shrunk images of this size would have no pixel; or one of
            `config.transforms` cannot be imported or created, is not seeded, or changes the size.
    """

    def __init__(self, config: AugmentationConfig, size: tuple[int, int]) -> None:
        _require_pixels(config, size)
        self.config, self.size = config, size
        self._bits = np.random.PCG64(0)
        self._python = random.Random(0)
        further = [_transform(one, place) for place, one in enumerate(config.transforms)]
        for place, one in enumerate(further):
            self._require_seeded(one, f"augmentation.transforms.{place}")
        used = [one for one in further if one.p > 0]
        self._pipeline = self._seeded([*_transforms(config, size), *used])

    def __reduce__(self) -> tuple[type["Augmentation"], tuple[AugmentationConfig, tuple[int, int]]]:
        return Augmentation, (self.config, self.size)

    def __call__(self, image: Image, seed: int, epoch: int, index: int, repeat: int = 0) -> Image:
        """Return a changed copy of an image, or the image itself if nothing is configured.

        Args:
            image: uint8 [H, W, 3], RGB, of the pipeline's size. It is not changed.
            seed: The run's seed; at least 0, like the next three.
            epoch: The epoch.
            index: The image's index in its manifest.
            repeat: Number of earlier copies of the image in the same batch.

        Returns:
            uint8 [H, W, 3]; always the same for the same four numbers.
        """
        if self._pipeline is None:
            return image
        self._seed(seed, epoch, index, repeat)
        changed: Image = self._pipeline(image=image)["image"]
        return changed

    def _seeded(self, transforms: "Sequence[BasicTransform]") -> "Compose | None":
        """Return a pipeline that uses this object's generators; None without transforms."""
        if not transforms:
            return None
        import albumentations

        pipeline = albumentations.Compose(transforms, p=1, is_check_shapes=False)
        pipeline.set_random_state(np.random.Generator(self._bits), self._python)
        return pipeline

    def _require_seeded(self, transform: "BasicTransform", key: str) -> None:
        """Refuse a transform that is not reproducible or changes the size or type.

        Raises:
            ConfigError: It is not reproducible, changes size or type, or fails.
        """
        name = type(transform).__name__
        probability, transform.p = transform.p, 1.0
        pipeline = self._seeded([transform])
        assert pipeline is not None
        image: Image = np.random.default_rng(0).integers(0, 256, (*self.size, 3), dtype=np.uint8)
        for number in range(_TRIALS):
            given = []
            for _ in range(2):
                self._seed(number, 0, 0, 0)
                try:
                    given.append(pipeline(image=image.copy())["image"])
                except Exception as error:  # any error of user code
                    said = f"{type(error).__name__}: {error}"
                    raise ConfigError(f"{key}: {name} fails on an image: {said}") from error
            if given[0].shape != image.shape or given[0].dtype != np.uint8:
                raise ConfigError(
                    f"{key}: {name} returns {given[0].dtype} {list(given[0].shape)} for uint8 "
                    f"{list(image.shape)}: type and size must not change"
                )
            if not np.array_equal(*given):
                raise ConfigError(
                    f"{key}: {name} returns different images for one seed: use self.py_random "
                    "or self.random_generator only"
                )
        transform.p = probability

    def _seed(self, *key: int) -> None:
        """Set both generators to states derived from a hash of the key."""
        digest = blake2b(_pack(*key), digest_size=40).digest()
        self._bits.state = {
            "bit_generator": "PCG64",
            "state": {
                "state": int.from_bytes(digest[:16], "little"),
                "inc": int.from_bytes(digest[16:32], "little")
                | 1,  # PCG64 requires an odd increment
            },
            "has_uint32": 0,
            "uinteger": 0,
        }
        self._python.seed(int.from_bytes(digest[32:], "little"))


_pack = struct.Struct("<4Q").pack


def _require_pixels(config: AugmentationConfig, size: tuple[int, int]) -> None:
    height, width = size
    low, high = config.crop.ratio
    left = {  # pixels of the shorter side, before rounding
        f"downscale.scale {config.downscale.scale[0]:g}": (
            config.downscale.probability,
            config.downscale.scale[0] * min(size),
        ),
        f"crop.ratio {low:g} to {high:g}": (
            config.crop.probability,
            min(height / max(low, 1), width * min(high, 1)),
        ),
        "grey.probability": (
            config.grey.probability,
            min(size) - 1,
        ),
    }
    for setting, (probability, side) in left.items():
        if probability and side <= 0.5:
            raise ConfigError(
                f"augmentation.{setting} is not possible for images of {height} x {width} "
                "pixels: choose larger images (model.preprocessing.size), a milder range or "
                "probability 0"
            )


def _transform(config: TransformConfig, place: int) -> "BasicTransform":
    """Return a transform by its path.

    Raises:
        ConfigError: It cannot be imported or created, or is not an albumentations transform.
    """
    _prepare_albumentations()
    from albumentations import BasicTransform

    key = f"augmentation.transforms.{place}"
    made = plugins.load_object(_with_colon(config.name), f"{key}.name")
    if not (isinstance(made, type) and issubclass(made, BasicTransform)):
        raise ConfigError(
            f"{key}.name is '{config.name}': it must be a class of albumentations.BasicTransform"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "error", UserWarning
            )  # albumentations only warns of invalid arguments
            return made(**config.parameters, p=config.probability)
    except Exception as error:  # any error of user code
        said = " ".join(str(error).split())
        raise ConfigError(f"{key}: {config.name} cannot be created: {said}") from error


def _prepare_albumentations() -> None:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # read at import


def _transforms(config: AugmentationConfig, size: tuple[int, int]) -> Iterable["BasicTransform"]:
    _prepare_albumentations()
    import albumentations as A

    flip, crop, affine, color = config.flip, config.crop, config.affine, config.color
    if flip.probability:
        yield A.HorizontalFlip(p=flip.probability)
    if crop.probability:
        own = size[1] / size[0]
        ratio = (crop.ratio[0] * own, crop.ratio[1] * own)
        yield A.RandomResizedCrop(size, scale=crop.area, ratio=ratio, p=crop.probability)
    if affine.probability:
        yield A.Affine(
            scale=affine.scale,
            keep_ratio=True,
            translate_percent=(-affine.shift, affine.shift),
            rotate=(-affine.rotation, affine.rotation),
            border_mode=cv2.BORDER_REFLECT_101,
            p=affine.probability,
        )
    if color.probability:
        yield A.ColorJitter(
            brightness=color.brightness,
            contrast=color.contrast,
            saturation=color.saturation,
            hue=color.hue,
            p=color.probability,
        )
    if config.grey.probability:
        yield A.ToGray(p=config.grey.probability)
    if config.blur.probability:
        yield A.GaussianBlur(blur_limit=0, sigma_limit=config.blur.sigma, p=config.blur.probability)
    if config.downscale.probability:
        yield A.Downscale(
            scale_range=config.downscale.scale,
            interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
            p=config.downscale.probability,
        )
    if config.jpeg.probability:
        yield A.ImageCompression(quality_range=config.jpeg.quality, p=config.jpeg.probability)
    if config.erase.probability:
        yield A.CoarseDropout(
            num_holes_range=(1, 1),
            hole_height_range=config.erase.sides,
            hole_width_range=config.erase.sides,
            fill="random_uniform",
            p=config.erase.probability,
        )

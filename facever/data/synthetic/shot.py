"""Parameters of one image of a synthetic person."""

from dataclasses import dataclass

import numpy as np

from facever.core.seeding import stream
from facever.data.synthetic.identity import Identity
from facever.data.synthetic.palette import Color, cut

# with their shares of the images
OCCLUSIONS = {"none": 0.8, "mask": 0.05, "hand": 0.05, "scarf": 0.04, "corner": 0.06}
GLASSES = {"round": 0.4, "square": 0.45, "sun": 0.15}  # of the images with glasses


@dataclass(frozen=True)
class Shot:
    """The circumstances of one image; angles in radians, shifts in half heights of the head."""

    yaw: float  # positive turns to the right of the image
    pitch: float  # positive looks down
    roll: float
    shift_x: float
    shift_y: float
    scale: float
    light: tuple[float, float, float]  # unit vector towards the light
    exposure: float  # brightness of surfaces facing the light
    ambient: float  # share of ambient light
    tint: Color  # gains of the three channels
    smile: float  # -1 to 1
    mouth_open: float
    eyes_open: float  # factor
    brow_raise: float
    gaze_x: float
    gaze_y: float
    tousle: tuple[float, ...]  # irregularities of the hair
    hat: Color | None
    glasses: str | None
    glasses_color: Color
    occlusion: str
    occlusion_color: Color
    occlusion_place: float
    clothes: Color
    background: np.ndarray  # uint8 [4, 4, 3]
    blur: float  # standard deviation in shares of the image's width
    noise: float  # standard deviation in grey levels
    grain: int  # the seed of the noise

    @classmethod
    def draw(cls, seed: int, number: int, shot: int, identity: Identity) -> "Shot":
        """Return image `shot` of person `number` of the population `seed`."""
        random = stream(seed, "synthetic shot", number, shot)
        uniform, normal = random.uniform, random.normal

        azimuth, elevation = uniform(-1.4, 1.4), uniform(-0.3, 1.1)
        light = (
            float(np.sin(azimuth) * np.cos(elevation)),
            float(-np.sin(elevation)),
            float(np.cos(azimuth) * np.cos(elevation)),
        )
        warmth = normal(0, 0.07)
        glasses = None
        if random.random() < identity.glasses:
            glasses = str(random.choice(list(GLASSES), p=list(GLASSES.values())))
        ground = uniform(20, 235) + normal(0, 25, 3)
        ground = (
            ground + normal(0, uniform(3, 50), (4, 4, 1)) + normal(0, uniform(0, 22), (4, 4, 3))
        )
        return cls(
            yaw=float(np.clip(normal(0, 0.32), -0.7, 0.7)),
            pitch=float(np.clip(normal(0, 0.16), -0.4, 0.4)),
            roll=float(np.clip(normal(0, 0.09), -0.3, 0.3)),
            shift_x=normal(0, 0.05),
            shift_y=normal(0, 0.05),
            scale=uniform(0.9, 1.14),
            light=light,
            exposure=uniform(0.75, 1.3),
            ambient=uniform(0.25, 0.9),
            tint=(1 + warmth, 1 + normal(0, 0.03), 1 - warmth),
            smile=float(np.clip(normal(0.2, 0.45), -0.6, 1)),
            mouth_open=max(0.0, uniform(-0.8, 0.9)),
            eyes_open=float(np.clip(normal(1, 0.25), 0.12, 1.4)),
            brow_raise=normal(0, 0.03),
            gaze_x=float(np.clip(normal(0, 0.3), -0.6, 0.6)),
            gaze_y=float(np.clip(normal(0, 0.15), -0.3, 0.3)),
            tousle=tuple(normal(0, 1, 8).tolist()),
            hat=cut(uniform(0, 255, 3)) if random.random() < 0.06 else None,
            glasses=glasses,
            glasses_color=cut(uniform(0, 90, 3)),
            occlusion=str(random.choice(list(OCCLUSIONS), p=list(OCCLUSIONS.values()))),
            occlusion_color=cut(uniform(0, 255, 3)),
            occlusion_place=uniform(-1, 1),
            clothes=cut(uniform(0, 255, 3)),
            background=np.clip(ground, 0, 255).astype(np.uint8),
            blur=max(0.0, uniform(-0.014, 0.014)),
            noise=uniform(0, 9),
            grain=int(random.integers(2**32)),
        )

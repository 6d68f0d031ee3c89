"""Parameters of a synthetic person: shapes and colours that all of their images share.

Lengths are in half heights of the head (about 1 from the middle to the chin); x grows to the
right of the image, y downwards.
"""

from dataclasses import dataclass

import numpy as np

from facever.core.seeding import stream
from facever.data.synthetic.palette import HAIR, IRIS, SKIN, Color, cut, dim, mix

# with their shares of the population
HAIR_STYLES = {
    "bald": 0.07,
    "buzz": 0.1,
    "short": 0.19,
    "fringe": 0.12,
    "parted": 0.14,
    "long": 0.15,
    "wavy": 0.1,
    "afro": 0.08,
    "bun": 0.05,
}
BEARDS = {"none": 0.6, "stubble": 0.12, "moustache": 0.08, "goatee": 0.08, "full": 0.12}


@dataclass(frozen=True)
class Identity:
    """The parameters of one synthetic person."""

    skin: Color
    head_width: float
    crown: float  # height of the skull above the middle
    chin: float  # length of the face below the middle
    jaw: float  # exponent of the jaw's curve: small is square, large is pointed
    ear_size: float
    ear_out: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_open: float
    eye_slant: float
    iris: Color
    iris_size: float
    lid_fold: float
    brow_height: float
    brow_thickness: float
    brow_length: float
    brow_arch: float
    brow_slant: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    nose_depth: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    lips: Color
    cheek: float  # redness of the cheeks
    lines: float  # strength of the lines of age
    hair: Color
    hair_style: str
    hair_volume: float
    hairline: float
    hair_length: float
    parting: float  # -1 left to 1 right
    beard: str
    freckles: float
    moles: tuple[tuple[float, float, float], ...]  # x, y, radius
    glasses: float  # share of images with glasses

    @classmethod
    def draw(cls, seed: int, number: int) -> "Identity":
        """Return person `number` of the population `seed`."""
        random = stream(seed, "synthetic identity", number)
        uniform, normal = random.uniform, random.normal

        tone = uniform(0, len(SKIN) - 1.001)
        skin = mix(SKIN[int(tone)], SKIN[int(tone) + 1], tone % 1)
        skin = cut(np.array(skin) + normal(0, 4, 3))
        shares = np.array([share for _, share in HAIR])
        shares[3:] *= 1.1 - tone / len(SKIN)  # lighter hair is rarer on darker skin
        hair = HAIR[random.choice(len(HAIR), p=shares / shares.sum())][0]
        iris = IRIS[random.choice(len(IRIS), p=[share for _, share in IRIS])][0]
        style = str(random.choice(list(HAIR_STYLES), p=list(HAIR_STYLES.values())))
        beard = str(random.choice(list(BEARDS), p=list(BEARDS.values())))
        return cls(
            skin=skin,
            head_width=uniform(0.66, 0.86),
            crown=uniform(0.98, 1.14),
            chin=uniform(0.9, 1.14),
            jaw=uniform(0.55, 1.05),
            ear_size=uniform(0.14, 0.26),
            ear_out=uniform(0.0, 0.1),
            eye_x=uniform(0.27, 0.4),
            eye_y=uniform(-0.16, 0.02),
            eye_width=uniform(0.115, 0.185),
            eye_open=uniform(0.3, 0.62),
            eye_slant=uniform(-0.18, 0.24),
            iris=dim(iris, uniform(0.8, 1.2)),
            iris_size=uniform(0.42, 0.6),
            lid_fold=uniform(0.0, 1.0),
            brow_height=uniform(0.13, 0.25),
            brow_thickness=uniform(0.02, 0.075),
            brow_length=uniform(0.15, 0.25),
            brow_arch=uniform(0.0, 0.08),
            brow_slant=uniform(-0.25, 0.2),
            nose_length=uniform(0.3, 0.52),
            nose_width=uniform(0.1, 0.21),
            nose_bridge=uniform(0.03, 0.07),
            nose_depth=uniform(0.1, 0.28),
            mouth_y=uniform(0.47, 0.64),
            mouth_width=uniform(0.19, 0.36),
            upper_lip=uniform(0.025, 0.075),
            lower_lip=uniform(0.04, 0.1),
            lips=mix(skin, (170, 60, 70), uniform(0.1, 0.6)),
            cheek=uniform(0, 0.25),
            lines=max(0.0, uniform(-0.6, 1)),
            hair=dim(hair, uniform(0.85, 1.2)),
            hair_style=style,
            hair_volume=uniform(0.04, 0.22),
            hairline=uniform(0.48, 0.78),
            hair_length=uniform(0.3, 1.3),
            parting=uniform(-0.7, 0.7),
            beard="none" if style in ("long", "wavy", "bun") else beard,
            freckles=max(0.0, uniform(-2.0, 1)),
            moles=tuple(
                (uniform(-0.5, 0.5), uniform(-0.4, 0.75), uniform(0.012, 0.032))
                for _ in range(random.integers(0, 4))
            ),
            glasses=uniform(0, 0.45),
        )

"""Drawing of hair, beard, clothes, glasses and occlusions."""

import numpy as np

from facever.data.synthetic.canvas import Canvas, Points
from facever.data.synthetic.identity import Identity
from facever.data.synthetic.palette import dim, mix
from facever.data.synthetic.shapes import ARC, CIRCLE, jaw, oval, points
from facever.data.synthetic.shot import Shot

_ACROSS: Points = np.linspace(-1, 1, 13)

# Length of the hair at the temples.
_TEMPLES = {
    "buzz": -0.28,
    "short": -0.15,
    "fringe": 0.05,
    "parted": -0.05,
    "long": 0.35,
    "wavy": 0.25,
    "afro": -0.1,
    "bun": -0.2,
}


def behind(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    """Draw the parts behind the head: the hair at the back, the neck and the clothes."""
    _back_hair(canvas, identity, shot)
    neck = identity.head_width * 0.62
    throat = points((-neck, 0.4), (neck, 0.4), (1.1 * neck, 1.6), (-1.1 * neck, 1.6))
    canvas.fill(throat, dim(identity.skin, 0.74), flat=True)
    right = points((0, 1.42), (neck, 1.28), (1.6, 1.5), (2.5, 2.5))
    shoulders = np.concatenate([right[:0:-1] * (-1, 1), right])
    canvas.fill(shoulders, shot.clothes, flat=True)


def _back_hair(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    style, volume, shade = identity.hair_style, identity.hair_volume, dim(identity.hair, 0.75)
    if style in ("long", "wavy"):
        wide, end = identity.head_width + 0.1 + volume, identity.hair_length
        right = points((wide, -0.2), (wide + 0.05, end * 0.6), (wide - 0.08, end))
        right[1:] += 0.03 * np.reshape(shot.tousle[:4], (2, 2))
        dome = ARC * (wide, -identity.crown - volume) + (0, -0.2)
        canvas.fill(np.concatenate([dome, right, right[::-1] * (-1, 1)]), shade, flat=True)
        if style == "wavy":
            for step in (-0.4, 0.0, 0.4, 0.8):
                for side in (-1, 1):
                    curl = oval(side * (wide - 0.02), step * end + 0.1, 0.14, 0.2)
                    canvas.fill(curl, shade, flat=True)
    elif style == "afro":
        wide = identity.head_width + 0.18 + volume
        canvas.fill(oval(0, -0.3, wide, identity.crown + volume), shade, flat=True)
    elif style == "bun":
        canvas.fill(oval(0, -identity.crown - 0.08, 0.26 + volume, 0.24), shade, flat=True)


def hair(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    """Draw the hair round the face, or the hat over it."""
    if shot.hat is not None:
        wide = identity.head_width + 0.07
        dome = ARC * (wide, 0.23 - identity.crown) + (0, -0.35)
        canvas.fill(dome, shot.hat, flat=True)
        brim = points((-wide, -0.5), (wide, -0.5), (wide, -0.32), (-wide, -0.32))
        canvas.fill(brim, dim(shot.hat, 0.75), flat=True)
        return
    if identity.hair_style == "bald":
        return
    width = identity.head_width
    grow = {"buzz": 0.02, "bun": 0.03}.get(identity.hair_style, 0.04 + identity.hair_volume)
    skull = ARC * (width + grow * 0.7, -identity.crown - grow)
    wild = 0.02 + 0.06 * identity.hair_volume
    skull[2:-2, 1] += wild * np.resize(shot.tousle, len(skull) - 4)
    temple = points((width + grow * 0.6, _TEMPLES[identity.hair_style]))
    edge = np.concatenate([temple * (-1, 1), skull, temple])
    canvas.fill_between(edge, _hairline(identity, shot), identity.hair)
    for place in (-0.7, -0.35, 0.05, 0.4, 0.7):
        root = place + 0.04 * shot.tousle[0]
        top = (identity.crown + grow * 0.8) * np.sqrt(1 - 0.85 * root**2)
        strand = points((root * width, -top), (place * width, -identity.hairline - 0.1))
        canvas.line(strand, dim(identity.hair, 1.15 if place < 0 else 0.85), 0.03, flat=True)


def _hairline(identity: Identity, shot: Shot) -> Points:
    """Return the lower edge of the hair on the forehead, from left to right."""
    if identity.hair_style == "fringe":
        y = 0.24 + 0.03 * np.resize(shot.tousle, len(_ACROSS))
    elif identity.hair_style in ("parted", "wavy", "long"):
        y = 0.32 * np.abs(_ACROSS - identity.parting) ** 1.2 - 0.12
    elif identity.hair_style == "buzz":
        y = 0.15 * _ACROSS**4 - 0.06
    else:
        y = 0.12 * _ACROSS**2
    y = y - identity.hairline
    y[0] = y[-1] = max(float(y[0]), -0.3)
    return np.stack([_ACROSS * identity.head_width * 0.97, y], axis=1)


def beard(canvas: Canvas, identity: Identity) -> None:
    """Draw the beard, which the mouth is drawn over."""
    style, mouth, wide = identity.beard, identity.mouth_y, identity.mouth_width
    if style == "none":
        return
    shade = mix(identity.skin, dim(identity.hair, 0.9), 0.35 if style == "stubble" else 0.85)
    if style in ("stubble", "full"):
        y = mouth - 0.12 - 0.1 * np.cos(7 * _ACROSS)
        cheeks = np.stack([0.86 * identity.head_width * _ACROSS, y], axis=1)
        canvas.fill(np.concatenate([jaw(identity), cheeks]), shade, flat=True)
    if style in ("goatee", "full"):
        tall = (identity.chin - mouth) / 2 - 0.02
        canvas.fill(oval(0, mouth + tall + 0.04, wide * 0.8, tall), shade)
    half = points((1.15, 0.04), (0.7, -0.1), (0, -0.13)) * (wide, 1) + (0, mouth)
    below = points((0, mouth - 0.02))
    canvas.fill(np.concatenate([half, half[1::-1] * (-1, 1), below]), shade, bump=0.02)


def glasses(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    """Draw glasses, if the shot has them."""
    if shot.glasses is None:
        return
    shade, x, y = shot.glasses_color, identity.eye_x, identity.eye_y
    wide = min(identity.eye_width * 1.55, x - 0.04)
    rim = CIRCLE * (wide, wide * 0.85)
    if shot.glasses != "round":
        rim = np.clip(rim, (-0.9 * wide, -0.62 * wide), (0.9 * wide, 0.62 * wide))
    for side in (-1, 1):
        here = rim + points((side * x, y + 0.02))
        if shot.glasses == "sun":
            canvas.fill(here, shade, bump=0.08)
        canvas.line(np.concatenate([here, here[:1]]), shade, 0.035, bump=0.08)
        arm = points((x + wide, y), (identity.head_width, y - 0.03))
        canvas.line(arm * (side, 1), shade, 0.03)
    bridge = points((wide - x, y), (0, y - 0.03), (x - wide, y))
    canvas.line(bridge, shade, 0.035, bump=0.12)


def occlusion(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    """Draw the occlusion of the face, if the shot has one."""
    shade, where, wide = shot.occlusion_color, shot.occlusion_place, identity.head_width
    if shot.occlusion == "mask":
        top = identity.eye_y + identity.nose_length * 0.55
        edge = points((-0.9 * wide, top + 0.1), (0, top), (0.9 * wide, top + 0.1))
        canvas.fill(np.concatenate([jaw(identity), edge]), shade, flat=True)
    elif shot.occlusion == "scarf":
        edge = points((-1.6, 0.75), (0, 0.62 + 0.1 * where), (1.6, 0.75), (1.9, 2), (-1.9, 2))
        canvas.fill(edge, shade, flat=True)
    elif shot.occlusion == "hand":
        for finger in range(4):
            x, y = 0.5 * where + 0.17 * finger - 0.26, 0.85 - 0.06 * (finger % 3)
            form = oval(x, y, 0.08, 0.45)
            canvas.fill(form, dim(identity.skin, 0.94), flat=True)
            canvas.line(form, dim(identity.skin, 0.6), 0.02, flat=True)
        canvas.fill(oval(0.5 * where, 1.3, 0.36, 0.4), dim(identity.skin, 0.92), flat=True)
    elif shot.occlusion == "corner":
        side, edge_x = (1 if where > 0 else -1), 0.95 - 0.75 * abs(where)
        thing = points((edge_x, -2), (3, -2), (3, 2), (edge_x + 0.25, 2))
        canvas.fill(thing * (side, 1), shade, flat=True)

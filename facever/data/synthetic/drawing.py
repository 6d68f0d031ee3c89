"""Drawing of the head and the face of a synthetic person."""

from typing import NamedTuple

import cv2
import numpy as np

from facever.data.preprocessing import Image
from facever.data.synthetic import dressing
from facever.data.synthetic.canvas import Canvas, Points
from facever.data.synthetic.identity import Identity
from facever.data.synthetic.palette import Color, dim, mix
from facever.data.synthetic.shapes import ARC, jaw, outline, oval, points
from facever.data.synthetic.shot import Shot

_ALONG: Points = np.linspace(-1, 1, 9)
_BOW: Points = 1 - _ALONG**2
_DARK: Color = (28, 20, 20)
_WHITE_OF_THE_EYE: Color = (236, 232, 228)


def draw(identity: Identity, shot: Shot, size: int) -> Image:
    """Draw one image, evenly lit: uint8 [S, S, 3], RGB, S = `size` or a multiple of it."""
    fine = 2 * size if size <= 128 else size  # small images are drawn larger, for smooth edges
    canvas = Canvas(
        cv2.resize(shot.background, (fine, fine), interpolation=cv2.INTER_CUBIC),
        angles=(shot.yaw, shot.pitch, shot.roll),
        shift=(shot.shift_x, shot.shift_y),
        scale=shot.scale,
        head_width=identity.head_width,
    )
    dressing.behind(canvas, identity, shot)
    _ears(canvas, identity, shot)
    canvas.fill(outline(identity), identity.skin, flat=True)
    _relief(canvas, identity, shot)
    canvas.soften(0.1)
    dressing.beard(canvas, identity)
    for side in (-1, 1):
        _eye(canvas, identity, shot, side)
        _brow(canvas, identity, shot, side)
    _nose(canvas, identity)
    _mouth(canvas, identity, shot)
    _marks(canvas, identity)
    dressing.hair(canvas, identity, shot)
    dressing.glasses(canvas, identity, shot)
    dressing.occlusion(canvas, identity, shot)
    canvas.paint()
    return canvas.pixels


def _ears(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    if identity.hair_style in ("long", "wavy", "afro"):
        return
    y, out, tall = identity.eye_y + 0.16 - 0.4 * shot.pitch, identity.ear_out, identity.ear_size
    for side in (-1, 1):
        turned = identity.head_width * (1 - 0.22 * side * shot.yaw)  # the far ear becomes visible
        x = side * (turned + 0.6 * out - 0.02)
        canvas.fill(oval(x, y, 0.07 + out, tall), dim(identity.skin, 0.9), flat=True)
        inside = oval(x, y, 0.03 + out / 2, tall * 0.6)
        canvas.fill(inside, dim(identity.skin, 0.68), flat=True)


def _relief(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    """Add light and dark areas to the skin, to be blurred."""
    skin, eye_x, eye_y = identity.skin, identity.eye_x, identity.eye_y
    width, mouth, tip = identity.head_width, identity.mouth_y, eye_y + identity.nose_length
    inner = jaw(identity) * (0.85, 0.86)
    canvas.fill(np.concatenate([jaw(identity), inner[::-1]]), dim(skin, 0.86), flat=True)
    blush = mix(skin, (214, 84, 84), identity.cheek)
    wrinkle = dim(skin, 1 - 0.4 * identity.lines)
    for side in (-1, 1):
        socket = oval(side * eye_x, eye_y - 0.02, identity.eye_width * 1.35, 0.14)
        canvas.fill(socket, dim(skin, 0.84))
        canvas.fill(oval(side * width * 0.55, 0.26, 0.17, 0.13), blush)
        if identity.lines > 0.25:
            fold = points((identity.nose_width + 0.04, tip), (identity.mouth_width + 0.08, mouth))
            canvas.line(fold * (side, 1), wrinkle, 0.03)
            bag = points((eye_x - 0.1, eye_y + 0.16), (eye_x + 0.1, eye_y + 0.15))
            canvas.line(bag * (side, 1), wrinkle, 0.02)
    canvas.fill(oval(0, tip + 0.06, identity.nose_width * 1.1, 0.05), dim(skin, 0.78))
    away = -1 if shot.light[0] > 0 else 1
    bridge, wing = away * identity.nose_bridge, away * identity.nose_width
    flank = points((0, eye_y), (bridge, eye_y + 0.02), (wing, tip), (0, tip))
    canvas.fill(flank, dim(skin, 0.8), bump=identity.nose_depth / 2)
    ridge = points((0, eye_y + 0.05), (0, tip - 0.05))
    canvas.line(ridge, dim(skin, 1.14), identity.nose_bridge, bump=identity.nose_depth)
    canvas.fill(oval(0, mouth + identity.lower_lip + 0.07, 0.12, 0.03), dim(skin, 0.82))
    canvas.fill(oval(0, -0.6, 0.3, 0.13), dim(skin, 1.06))


def _eye(canvas: Canvas, identity: Identity, shot: Shot, side: int) -> None:
    skin, width = identity.skin, identity.eye_width
    tall = width * identity.eye_open * shot.eyes_open
    cos, sin = np.cos(identity.eye_slant), np.sin(identity.eye_slant)
    slant = np.array([[cos, -side * sin], [side * sin, cos]])
    middle = np.array((side * identity.eye_x, identity.eye_y))

    def lid(wide: float, high: float) -> Points:
        curve: Points = ARC * (width * wide, high) @ slant + middle
        return curve

    upper, lower = lid(1, -tall * 1.15), lid(1, tall * 0.75)
    canvas.fill(np.concatenate([upper, lower[::-1]]), _WHITE_OF_THE_EYE)
    radius = width * identity.iris_size
    x = float(middle[0]) + shot.gaze_x * width * 0.6
    y = float(middle[1]) + shot.gaze_y * width * 0.4
    canvas.fill(oval(x, y, radius, radius), identity.iris)
    canvas.fill(oval(x, y, radius * 0.45, radius * 0.45), (10, 8, 8))
    glint = radius * 0.22
    canvas.fill(oval(x - radius * 0.35, y - radius * 0.35, glint, glint), (250, 250, 250))
    # The lids cover everything outside of the opening.
    canvas.fill(np.concatenate([upper, lid(1.2, -width * 1.05)[::-1]]), dim(skin, 0.9))
    canvas.fill(np.concatenate([lower, lid(1.2, width * 0.95)[::-1]]), dim(skin, 0.95))
    canvas.line(upper, _DARK, 0.028)
    canvas.line(lower, dim(skin, 0.62), 0.012)
    if identity.lid_fold > 0.35:
        canvas.line(lid(0.95, -(tall * 1.15 + 0.035)), dim(skin, 0.68), 0.012)


def _brow(canvas: Canvas, identity: Identity, shot: Shot, side: int) -> None:
    rise = identity.brow_height + shot.brow_raise + identity.brow_arch * _BOW
    y = identity.eye_y - rise + _ALONG * identity.brow_slant * identity.brow_length
    half = identity.brow_thickness * (0.58 - 0.12 * _ALONG - 0.3 * np.maximum(_ALONG - 0.3, 0))
    x = side * (identity.eye_x + 0.01 + _ALONG * identity.brow_length)
    shade = mix(dim(identity.hair, 0.8), identity.skin, 0.15)
    canvas.fill(_band(x, y - half, y + half), shade)


def _nose(canvas: Canvas, identity: Identity) -> None:
    tip, width, skin = identity.eye_y + identity.nose_length, identity.nose_width, identity.skin
    bump = identity.nose_depth / 2
    wing = points((0.8, -0.1), (1.05, -0.03), (0.95, 0.03), (0.6, 0.04)) * (width, 1) + (0, tip)
    for side in (-1, 1):
        canvas.line(wing * (side, 1), dim(skin, 0.66), 0.02, bump=bump)
        nostril = oval(side * width * 0.5, tip + 0.03, width * 0.26, 0.022)
        canvas.fill(nostril, dim(skin, 0.4), bump=bump)
    canvas.fill(oval(0, tip - 0.05, width * 0.36, 0.05), dim(skin, 1.1), bump=2 * bump)


class _Lips(NamedTuple):
    """The curves of a mouth, from left to right: y over the common x."""

    x: Points
    upper: Points
    top: Points  # of the opening
    bottom: Points
    lower: Points


def _lips(identity: Identity, shot: Shot) -> _Lips:
    gape = shot.mouth_open * 0.16
    middle = identity.mouth_y - 0.07 * shot.smile * _ALONG**2  # a smile lifts the corners
    top, bottom = middle - gape * 0.3 * _BOW, middle + gape * 0.7 * _BOW
    cupid = _BOW**0.7 * (1 - 0.25 * np.exp(-((_ALONG / 0.16) ** 2)))
    return _Lips(
        _ALONG * identity.mouth_width * (1 + 0.22 * shot.smile),
        top - identity.upper_lip * cupid,
        top,
        bottom,
        bottom + identity.lower_lip * _BOW**0.8,
    )


def _mouth(canvas: Canvas, identity: Identity, shot: Shot) -> None:
    x, upper, top, bottom, lower = _lips(identity, shot)
    if shot.mouth_open > 0.1:
        canvas.fill(_band(x, top, bottom), (70, 24, 28))
        if shot.smile > 0:
            canvas.fill(_band(x * 0.85, top, np.minimum(top + 0.05, bottom)), (238, 234, 226))
    canvas.fill(_band(x, upper, top), dim(identity.lips, 0.88))
    canvas.fill(_band(x, bottom, lower), identity.lips)
    canvas.line(np.stack([x, top], axis=1), dim(identity.lips, 0.5), 0.016)


def _marks(canvas: Canvas, identity: Identity) -> None:
    for x, y, radius in identity.moles:
        canvas.fill(oval(x, y, radius, radius), dim(identity.skin, 0.45))
    if identity.freckles > 0.1:
        shade = mix(identity.skin, (130, 70, 40), 0.3 + 0.3 * identity.freckles)
        for step in range(14):  # spread without a visible pattern
            x = np.sin(step * 2.4) * (0.12 + 0.03 * step)
            y = identity.eye_y + 0.3 + 0.1 * np.cos(step * 1.7)
            canvas.fill(oval(x, y, 0.016, 0.016), shade)


def _band(x: Points, top: Points, bottom: Points) -> Points:
    """Return the polygon between two curves over the same x."""
    return np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])

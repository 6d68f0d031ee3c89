"""Small folders of the layout of IJB-B and IJB-C, written line by line from its description.

The description: insightface's evaluation/IJB. No file of the real sets was at hand.
"""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

GALLERIES = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"


@dataclass
class Tree:
    """The lines of the lists by file, and what they say of each image and template.

    Args:
        prefix: "ijbb" or "ijbc".
        subjects: People in each gallery.
        probes: Probe templates of each person.
        seed: Of the numbers of images, media and landmarks.
    """

    prefix: str = "ijbc"
    subjects: int = 6
    probes: int = 3
    seed: int = 0
    lists: dict[str, list[str]] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    template_of: list[int] = field(default_factory=list)
    media_of: list[int] = field(default_factory=list)
    points: list[list[float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    subject: dict[int, int] = field(default_factory=dict)
    subset: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        for place, name in enumerate(GALLERIES[self.prefix]):
            for k in range(self.subjects):
                person = 100 + 10 * k + place
                self._template(rng, person, name)
                for _ in range(self.probes):
                    self._template(rng, person, "probe")
        names = {"probe": "1N_probe_mixed.csv"}
        names |= {name: f"1N_gallery_{name}.csv" for name in GALLERIES[self.prefix]}
        zipped = list(zip(self.images, self.template_of, self.media_of, strict=True))
        self.lists["face_tid_mid.txt"] = [f"{i} {t} {m}" for i, t, m in zipped]
        self.lists["name_5pts_score.txt"] = [
            " ".join([image, *(f"{value:.3f}" for value in points), f"{score:.4f}"])
            for image, points, score in zip(self.images, self.points, self.scores, strict=True)
        ]
        for subset, file in names.items():
            self.lists[file] = [HEADER] + [
                f"{t},{self.subject[t]},frames/{m}.png,{m},{10 + m},20,30,40"
                for _, t, m in zipped
                if self.subset[t] == subset
            ]
        self.lists["template_pair_label.txt"] = [
            f"{a} {b} {int(self.subject[a] == self.subject[b])}"
            for a in self.subject
            for b in self.subject
            if self.subset[a] != "probe" and self.subset[b] == "probe"
        ]

    def _template(self, rng: np.random.Generator, person: int, subset: str) -> None:
        """Add a template: a video of one to three frames, and up to two stills."""
        template = 7 * len(self.subject) + 5
        self.subject[template], self.subset[template] = person, subset
        media = 1000 + 3 * len(self.images)
        frames = int(rng.integers(1, 4))
        for k in range(frames + int(rng.integers(0, 3))):
            self.images.append(f"{len(self.images) + 1}.jpg")
            self.template_of.append(template)
            self.media_of.append(media if k < frames else media + 1 + k)
            points = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]])
            self.points.append((points + rng.uniform(-5, 5, (5, 2))).ravel().round(3).tolist())
            self.scores.append(round(float(rng.uniform(0.3, 1)), 4))

    def write(self, root: Path) -> Path:
        """Write the lists, and for each image a file of its own grey level."""
        (root / "meta").mkdir(parents=True)
        (root / "loose_crop").mkdir()
        for name, lines in self.lists.items():
            text = "".join(f"{line}\n" for line in lines)
            (root / "meta" / f"{self.prefix}_{name}").write_text(text)
        for number, image in enumerate(self.images):
            pixels = np.full((12, 10, 3), number % 250, np.uint8)
            cv2.imwrite(str(root / "loose_crop" / image), pixels)
        return root

    def vectors(self, dimension: int = 6, spread: float = 0.9) -> np.ndarray:
        """Return a vector of any length for each image, near that of its person, [N, D]."""
        rng = np.random.default_rng(self.seed + 1)
        people = sorted(set(self.subject.values()))
        centres = {person: rng.standard_normal(dimension) for person in people}
        whose = [centres[self.subject[template]] for template in self.template_of]
        made = np.array(whose) + spread * rng.standard_normal((len(whose), dimension))
        return made * rng.uniform(1, 20, (len(made), 1))


def pooled(
    vectors: np.ndarray, templates: list[int], media: list[int], weights: np.ndarray | None = None
) -> dict[int, np.ndarray]:
    """Return the template vectors by IJB's definition, by loops: the mean of each media, their sum,
    unit length."""
    units = [vector / np.sqrt((vector**2).sum()) for vector in vectors.astype(np.float64)]
    found = {}
    for template in dict.fromkeys(templates):
        total = np.zeros(vectors.shape[1])
        mine = [i for i in range(len(templates)) if templates[i] == template]
        for one in dict.fromkeys(media[i] for i in mine):
            frames = [i for i in mine if media[i] == one]
            total += sum(units[i] * (1 if weights is None else weights[i]) for i in frames) / len(
                frames
            )
        found[template] = total / np.sqrt((total**2).sum())
    return found

"""The result of an export."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from facever.deployment.cost import Cost
from facever.evaluation.one_to_one.compare import ComparisonResult
from facever.render.blocks import Cell, Facts, Section
from facever.render.result import Result


@dataclass(frozen=True)
class Exported(Result):
    """An exported model, and what the export costs.

    Attributes:
        path: The file.
        bytes: Its size.
        fingerprint: Of its vectors.
        original: Fingerprint of the model's own vectors.
        original_engine: What computed these: "torch" or an engine of ONNX models.
        precision: "fp32", "fp16" or "int8".
        preprocessing: "inside" or "outside".
        layout: "NCHW" or "NHWC".
        size: Height and width of its input, in pixels.
        flip: Whether the file averages each image with its mirror image.
        dimension: Components of a vector.
        alignment: "arcface-112" or "none".
        opset: Of the standard operators.
        trained_on: Data sets of the training, in words.
        people: What the file says of the people of the training.
        operating_points: Number of operating points in the file.
        cost: Distances and speeds.
        check: Comparison of the error rates of both models; None if none was asked for.
        quantization: Of int8: the layers that stayed in float, and what it was calibrated on.
    """

    path: str
    bytes: int
    fingerprint: str
    original: str
    original_engine: str
    precision: str
    preprocessing: str
    layout: str
    size: list[int]
    flip: bool
    dimension: int
    alignment: str
    opset: int
    trained_on: str
    people: Mapping[str, Any]
    operating_points: int
    cost: Cost
    check: ComparisonResult | None = None
    quantization: Mapping[str, Any] = field(default_factory=dict)

    json_keys = (
        "model=path bytes fingerprint original original_engine precision preprocessing layout "
        "size flip dimension alignment opset trained_on people=people_kept operating_points "
        "same_space cost check quantization"
    )

    @property
    def same_space(self) -> bool:
        """Whether its vectors may be compared with the original's."""
        return self.precision == "fp32" and self.cost.distances.one_space

    @property
    def people_kept(self) -> str:
        """What the file says of the people of the training: codes, counts or nothing."""
        return "codes" if "codes" in self.people else "counts" if self.people else "nothing"

    @property
    def warnings(self) -> list[str]:
        """Messages about what the export does not give."""
        said = []
        if self.cost.after <= self.cost.before:
            said.append(
                f"the exported model is not faster on this machine: {self.cost.after:.0f} images "
                f"per second, the original {self.cost.before:.0f} (one thread)"
            )
        if not self.operating_points:
            said.append(
                "the file has no operating point: "
                + (
                    "the model has none with these options"
                    if self.precision == "fp32"
                    else f"those of the model are not valid for {self.precision}; measure one"
                )
            )
        return said

    def describe(self) -> list[Section]:
        """Return the file, its input and output, and what it costs."""
        height, width = self.size
        inside = self.preprocessing == "inside"
        shape = f"{height} x {width} x 3" if self.layout == "NHWC" else f"3 x {height} x {width}"
        apart, cost = self.cost.distances, self.cost
        facts: list[tuple[str, Cell]] = [
            ("model", f"{self.path} ({self.bytes / 1e6:.1f} MB, opset {self.opset})"),
            ("input", f"N x {shape}, " + ("uint8 RGB" if inside else "float32, normalised")),
            (
                "output",
                f"N x {self.dimension}, "
                + ("unit vectors" if inside else "vectors of the model's own length"),
            ),
            ("precision", self.precision + (", with mirror images" if self.flip else "")),
            ("fingerprint", self.fingerprint),
            (
                "distance",
                f"largest {apart.largest:.1e}, mean {apart.mean:.1e} (1 - cosine to the original; "
                f"{apart.images} images: {cost.of})",
            ),
            (
                "batches",
                f"{', '.join(map(str, cost.batches))} images: the same vectors"
                if cost.batches
                else "as in the original file",
            ),
            (
                "speed",
                f"{cost.after:.0f} images per second ({cost.engine}), the original "
                f"{cost.before:.0f} ({self.original_engine}): "
                f"{cost.after / cost.before:.2f} x; one thread, {cost.machine}",
            ),
            ("trained on", f"{self.trained_on or 'not known'} (people: {self.people_kept})"),
            (
                "space",
                "the original's: a gallery takes it after 'facever gallery accept-equivalent'"
                if self.same_space
                else "its own: migrate a gallery to it ('facever gallery migrate')",
            ),
        ]
        if self.quantization:
            floats, layers = self.quantization["float_layers"], self.quantization["layers"]
            facts.insert(4, ("float layers", f"{len(floats)} of {layers} ({', '.join(floats)})"))
        sections = [Section("export", "Export", [Facts(facts)])]
        if self.check is not None:
            sections += self.check.describe()
        return sections

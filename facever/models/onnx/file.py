"""The only reader of ONNX files: their contents are checked before an engine loads them.

It needs neither onnx nor onnxruntime. A file that is damaged, that names files outside its folder,
or that declares more numbers than it has, ends here with one line.

Reference: ONNX, onnx/onnx.proto (ModelProto, GraphProto, TensorProto, ValueInfoProto).
"""

import hashlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path, PurePosixPath

from facever.core.console import byte_count
from facever.core.files import open_regular
from facever.errors import ModelError
from facever.models.onnx.wire import WireError, entry, fields, inner, numbers, signed, text

_MOST_BYTES = 2**31 - 1  # protobuf's limit; larger models keep their numbers in other files
_MOST_DEPTH = 16  # of graphs within graphs (If, Loop)
_LARGEST_DIM = 2**40
_METADATA = 14  # ModelProto.metadata_props
_EXTERNAL = 1  # TensorProto.DataLocation

_BITS = {  # of a number, by TensorProto.DataType; text (8) has none
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64,
    15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
}  # fmt: skip
TYPES = {1: "float32", 10: "float16", 2: "uint8"}
"""Of the inputs and outputs that are used, by TensorProto.DataType."""


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    Attributes:
        name: As the graph names it.
        kind: Its TensorProto.DataType, 0 where it is no tensor.
        shape: A number a dimension, None where it is free; None as a whole where nothing is said.
    """

    name: str
    kind: int
    shape: list[int | None] | None

    @property
    def said(self) -> str:
        """Name and shape in words."""
        if self.shape is None:
            return self.name
        return f"{self.name} [{', '.join('?' if n is None else str(n) for n in self.shape)}]"


@dataclass(frozen=True)
class Elsewhere:
    """Numbers of a tensor that lie in another file."""

    tensor: str
    location: str
    offset: int
    length: int | None


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was read and checked.

    Attributes:
        path: Where it lies.
        content: Its bytes.
        body_sha256: Of all but `metadata`, in hexadecimal.
        metadata: Of the model, texts by key.
        inputs: Those that a node reads and no initializer holds: what a caller gives.
        idle: How many further inputs it lists.
        outputs: Of the graph.
        makers: By the name of a value, the operator that makes it.
        opset: Of the standard operators; 0 where none is named.
        elsewhere: Numbers that lie in other files.
    """

    path: Path
    content: bytes = field(repr=False)
    body_sha256: str
    metadata: dict[str, str]
    inputs: list[Port]
    idle: int
    outputs: list[Port]
    makers: dict[str, str] = field(repr=False)
    opset: int
    elsewhere: list[Elsewhere]

    @property
    def sha256(self) -> str:
        """Of all of its bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class _Graph:
    """What was found in a graph, and in those within it."""

    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    makers: dict[str, str] = field(default_factory=dict)
    elsewhere: list[Elsewhere] = field(default_factory=list)


def read_onnx(path: str | Path) -> OnnxFile:
    """Read an ONNX file whole.

    Raises:
        ModelError: No such file, not ONNX, damaged, too large, or it names files outside of its
            folder.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise ModelError(f"no model at {path}: no such file") from error
    if len(content) > _MOST_BYTES:
        raise ModelError(f"{path} has more than {byte_count(_MOST_BYTES)}, ONNX files cannot")
    return parse_onnx(path, content)


def parse_onnx(path: Path, content: bytes) -> OnnxFile:
    """Parse the bytes of an ONNX file; `path` names their origin.

    Raises:
        ModelError: As `read_onnx`.
    """
    try:
        return _parsed(path, content)
    except (WireError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(
            f"{path} is not an ONNX file, or it is damaged ({error}): export or fetch it again"
        ) from error


def with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """Return the bytes of a model with these texts in place of its metadata."""
    data = memoryview(content)
    kept = [data[begin:end] for number, _, begin, end in fields(data) if number != _METADATA]
    texts = [
        entry(_METADATA, entry(1, key.encode()) + entry(2, value.encode()))
        for key, value in metadata.items()
    ]
    return b"".join([*kept, *texts])


def _parsed(path: Path, content: bytes) -> OnnxFile:
    metadata: dict[str, str] = {}
    graph = _Graph()
    opset, body = 0, hashlib.sha256()
    data = memoryview(content)
    for number, value, begin, end in fields(data):
        if number != _METADATA:
            body.update(data[begin:end])
        if number == 7:
            _read_graph(inner(value), graph, path)
        elif number == 8:
            said = {n: v for n, v, *_ in fields(inner(value))}
            if not said.get(1) or text(said[1]) == "ai.onnx":
                version = said.get(2, 0)
                opset = max(opset, version if isinstance(version, int) else 0)
        elif number == _METADATA:
            pair = {n: text(v) for n, v, *_ in fields(inner(value))}
            metadata[pair.get(1, "")] = pair.get(2, "")
        elif number == 25:  # a function
            for part, node, *_ in fields(inner(value)):
                if part == 7:
                    _read_node(inner(node), _Graph(elsewhere=graph.elsewhere), path, 1)
    if not graph.outputs or not graph.makers:
        raise WireError("there is no network in it")
    given = [one for one in graph.inputs if one.name in graph.read and one.name not in graph.held]
    return OnnxFile(
        path,
        content,
        body.hexdigest(),
        metadata,
        given,
        len(graph.inputs) - len(given),
        graph.outputs,
        graph.makers,
        opset,
        graph.elsewhere,
    )


def _read_graph(data: memoryview, found: _Graph, path: Path, depth: int = 0) -> None:
    if depth > _MOST_DEPTH:
        raise WireError("graphs are nested too deeply")
    for number, value, *_ in fields(data):
        if number == 1:
            _read_node(inner(value), found, path, depth)
        elif number == 5:
            found.held.add(_read_tensor(inner(value), found, path))
        elif number == 15:
            for part, inside, *_ in fields(inner(value)):
                if part in (1, 2):
                    _read_tensor(inner(inside), found, path)
        elif number == 11 and depth == 0:
            found.inputs.append(_read_port(inner(value)))
        elif number == 12 and depth == 0:
            found.outputs.append(_read_port(inner(value)))
        elif number == 12:
            found.read.add(_read_port(inner(value)).name)
    found.read.update(one.name for one in found.outputs)


def _read_node(data: memoryview, found: _Graph, path: Path, depth: int) -> None:
    made, operator = [], ""
    for number, value, *_ in fields(data):
        if number == 1:
            found.read.add(text(value))
        elif number == 2:
            made.append(text(value))
        elif number == 4:
            operator = text(value)
        elif number == 5:
            for part, inside, *_ in fields(inner(value)):
                if part in (5, 10):
                    _read_tensor(inner(inside), found, path)
                elif part in (6, 11):
                    _read_graph(inner(inside), found, path, depth + 1)
    found.makers |= dict.fromkeys(made, operator)


def _read_tensor(data: memoryview, found: _Graph, path: Path) -> str:
    """Check a tensor and return its name."""
    shape: list[int] = []
    name, kind, raw, external, is_external = "", 0, None, {}, False
    has_values = False
    for number, value, *_ in fields(data):
        if number == 1:
            shape += numbers(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = len(inner(value))
        elif number == 13:
            pair = {n: text(v) for n, v, *_ in fields(inner(value))}
            external[pair.get(1, "")] = pair.get(2, "")
        elif number == 14:
            is_external = value == _EXTERNAL
        elif number in (4, 5, 6, 7, 10, 11):
            has_values = True
    shown = f"tensor '{name}' {shape}"
    if any(not 0 <= n <= _LARGEST_DIM for n in shape):
        raise WireError(f"{shown}: invalid shape")
    needed = prod(shape) * _BITS.get(kind, 0) // 8
    if is_external:
        found.elsewhere.append(_outside(name, external, needed, path))
    elif raw is not None and raw < needed:
        raise WireError(f"{shown} declares {byte_count(needed)} and has {byte_count(raw)}")
    elif raw is None and not has_values and needed:
        raise WireError(f"{shown} has no values")
    elif raw is None and needed > 16 * len(data):
        raise WireError(f"{shown} declares more values than it has")
    return name


def _outside(name: str, said: dict[str, str], needed: int, path: Path) -> Elsewhere:
    """Check the location of a tensor's values: all of them in one file of the model's folder."""
    location = said.get("location", "")
    place = PurePosixPath(location)
    if not location or place.is_absolute() or ".." in place.parts or "\\" in location:
        raise ModelError(
            f"{path}: the numbers of tensor '{name}' are at '{location}', outside the model's "
            "folder: do not trust this file"
        )
    file = path.parent / place
    inside = file.resolve().is_relative_to(path.parent.resolve())
    if not inside or not file.is_file():
        why = "is not there" if inside else "is a link out of the model's folder"
        raise ModelError(
            f"{path}: its numbers lie in '{location}' beside it, which {why}: put all files of the "
            "model into one folder"
        )
    try:
        offset = int(said.get("offset", "0"))
        length = int(said["length"]) if said.get("length") else None
    except ValueError as error:
        raise WireError(f"tensor '{name}': '{location}' from where to where?") from error
    there = file.stat().st_size - offset
    if offset < 0 or (needed if length is None else length) > there or (length or needed) < needed:
        raise ModelError(
            f"{path}: '{location}' beside it is too short for tensor '{name}': fetch it again"
        )
    return Elsewhere(name, location, offset, length)


def _read_port(data: memoryview) -> Port:
    name, kind, shape = "", 0, None
    for number, value, *_ in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            for what, tensor, *_ in fields(inner(value)):
                if what == 1:
                    kind, shape = _tensor_type(inner(tensor))
    return Port(name, kind, shape)


def _tensor_type(data: memoryview) -> tuple[int, list[int | None] | None]:
    kind, shape = 0, None
    for number, value, *_ in fields(data):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2:
            shape = [_dim(inner(dim)) for part, dim, *_ in fields(inner(value)) if part == 1]
    return kind, shape


def _dim(data: memoryview) -> int | None:
    return next((signed(v) for n, v, *_ in fields(data) if n == 1 and isinstance(v, int)), None)


def names(ports: list[Port]) -> str:
    """Return the names and shapes of inputs or outputs in words."""
    return ", ".join(one.said for one in ports) or "none"

"""`facever serve`: a gallery and its model as a REST service."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from facever.cli.gallery_address import HELP, checked
from facever.cli.options import Device
from facever.cli.photo_options import Detector, MinQuality, Photos, Rotations

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    gallery: Annotated[
        str | None, typer.Argument(metavar="[GALLERY]", callback=checked, help=HELP)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="The gallery's model: a run folder, a .safetensors or .onnx file, or a public "
            "model's name."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. Any but this machine's needs --tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
    tokens: Annotated[
        Path | None, typer.Option(help="File of tokens; then every request needs one.")
    ] = None,
    new_token: Annotated[
        str | None,
        typer.Option(
            metavar="ROLE",
            help="Add a token for search, enrol or admin to the --tokens file, print it, and exit.",
        ),
    ] = None,
    token_name: Annotated[
        str | None, typer.Option(help="With --new-token: who will use it.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="TLS certificate chain, a PEM file.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, a PEM file.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Number of processes.")] = 1,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="Change a limit of requests, such as images=128 (docs/service.md lists them). "
            "Repeatable.",
        ),
    ] = None,
    log_days: Annotated[
        int,
        typer.Option(
            min=0,
            max=36500,
            help="Days that the log of uses keeps a row (facever gallery uses); 0 for no log.",
        ),
    ] = 183,
    photos: Photos = None,
    min_quality: MinQuality = None,
    rotations: Rotations = False,
    detector: Detector = None,
    device: Device = "auto",
) -> None:
    """Serve a gallery and its model over HTTP until Ctrl-C or SIGTERM."""
    from facever.errors import ConfigError

    with _without_collection():
        _require_extra()
        _limit_threads()
        from facever.service.address import Address

        if new_token is not None:
            _print_new_token(tokens, new_token, token_name)
            return
        if token_name is not None:
            raise ConfigError("--token-name applies to --new-token")
        if gallery is None or model is None:
            raise ConfigError("give a gallery and its model: facever serve GALLERY --model MODEL")
        address = Address(host, port, tls_cert, tls_key)
        address.check(tokens)
        from functools import partial

        from facever.cli.photo_options import yunet_file
        from facever.config import parse, read_overrides
        from facever.service.limits import Limits
        from facever.service.start import Options, load_app

        options = Options(
            gallery,
            model,
            device,
            photos,
            min_quality,
            rotations,
            None if detector is None else yunet_file(detector),
            parse(Limits, read_overrides(limit or []), where="--limit"),
            log_days,
            tokens,
        )
        made = load_app(options)  # errors are reported before a port is open
        from facever.service.server import serve as run

    if workers > 1:
        made.state.service.close()
        run(None, partial(load_app, options), address, options.limits.seconds, workers)
    else:
        run(made, partial(load_app, options), address, options.limits.seconds)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Import and load without a search for garbage, which takes a tenth of the start.

    What was made stays, and is not searched later either.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def _require_extra() -> None:
    """Refuse to start without the extra.

    Raises:
        MissingPackageError: It is not installed.
    """
    from importlib.util import find_spec

    from facever.core.extras import EXTRAS, install_command
    from facever.errors import MissingPackageError

    needed = [module for module, extra in EXTRAS.items() if extra == "serve"]
    if missing := [module for module in needed if find_spec(module) is None]:
        raise MissingPackageError(
            f"facever serve needs {', '.join(missing)}: {install_command(missing[0])}"
        )


def _limit_threads() -> None:
    """Let each request's thread compute alone; called before NumPy and FAISS are imported.

    A library that starts a thread per core in every request's thread slows all of them down. The
    variables have priority where they are set; a torch model gets its threads back when loaded.
    """
    import os

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _print_new_token(path: Path | None, role: str, name: str | None) -> None:
    from facever.core.console import say
    from facever.errors import ConfigError
    from facever.service.tokens import new_token

    if path is None or name is None:
        raise ConfigError("--new-token needs --tokens FILE and --token-name NAME")
    token = new_token(path, role, name)
    say(f"{path} has the hash of the token of {name} ({role}); the token is shown only once:")
    print(token)

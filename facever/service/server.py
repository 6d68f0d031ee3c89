"""The server: signals, worker processes and time limits around an app."""

import asyncio
import multiprocessing.connection
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from facever.core.console import say
from facever.service.address import Address

_FINISH_SECONDS = 30  # for requests in progress when the service stops
_HUNG_SECONDS = 15  # after which a worker process that does not react is started again
_IDLE_SECONDS = 10  # of a kept connection without a request
_MOST_HEADER_BYTES = 16 * 1024


def serve(
    app: FastAPI | None,
    make: Callable[[], FastAPI],
    address: Address,
    seconds: float,
    workers: int = 1,
) -> None:
    """Answer requests until SIGTERM or SIGINT; requests in progress are finished.

    Args:
        app: The app; None with several workers.
        make: Makes the app in each worker process; it is pickled.
        address: Where.
        seconds: Seconds in which a request's header must arrive.
        workers: Number of processes. One that ends is started again.
    """
    config = uvicorn.Config(
        partial(_in_worker, make) if app is None else app,
        factory=app is None,
        http=partial(TimedProtocol, header_seconds=seconds),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        workers=workers,
        log_level="warning",
        access_log=False,  # paths hold ids of people
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        timeout_worker_healthcheck=_HUNG_SECONDS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        ssl_certfile=address.certificate,
        ssl_keyfile=None if address.key is None else str(address.key),
    )
    with address.bind() as bound, _signals_end_quietly():
        say(f"facever answers at {address.url(bound)} (docs/service.md); stop it with Ctrl-C")
        if workers > 1:
            Multiprocess(config, sockets=[bound]).run()
        else:
            uvicorn.Server(config).run(sockets=[bound])


def _in_worker(make: Callable[[], FastAPI]) -> FastAPI:
    """Make the app of a worker process, which ends when the process that started it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    return make()


def _end_after(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    """End with status 0 after a signal: uvicorn raises it again when all is finished."""
    held = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in held.items():
            signal.signal(one, handler)


class TimedProtocol(H11Protocol):
    """HTTP/1.1 whose requests' headers must arrive in time; uvicorn waits without end.

    The body of a request that is refused before it is read is discarded, within the same time: the
    caller gets the answer and goes on with the connection. To close it while the caller sends would
    reset it, and the answer could be lost.
    """

    def __init__(self, *args: Any, header_seconds: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._header_seconds = header_seconds
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first header.

        asyncio sends small writes at once only for sockets that name their protocol, which those of
        `socket.create_server` do not: an answer would wait 40 ms for the caller's kernel.
        """
        super().connection_made(transport)
        bound = transport.get_extra_info("socket")
        if bound is not None:
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take data; wait for the rest of a header, or of a body that is discarded."""
        discarding = self._discarding
        super().data_received(data)
        if discarding and not self._discarding:
            self._stop()
            if self._between:  # uvicorn counts the idle time from the answer on, and data ends it
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        self._watch()

    def on_response_complete(self) -> None:
        """Go on with the connection; discard what has not arrived of the request's body."""
        super().on_response_complete()
        if self._discarding:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    @property
    def _answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    @property
    def _between(self) -> bool:
        """Whether a request was answered, and nothing of the next one has come."""
        return (
            self._answered and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        )

    @property
    def _discarding(self) -> bool:
        """Whether a request was answered, and its body has not arrived."""
        return self._answered and self.conn.their_state is h11.SEND_BODY

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE and not self._discarding:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(self._header_seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._discarding or (self.conn.their_state is h11.IDLE and not self._between):
            self.transport.close()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""Where a service is reached: host, port and TLS."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from facever.core.console import warn
from facever.errors import ConfigError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BACKLOG = 1024


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host's address."""
    return host in _LOOPBACK


@dataclass(frozen=True)
class Address:
    """Where a service is reached.

    Args:
        host: Name or address.
        port: 0 for a free one.
        certificate: TLS certificate chain (PEM); None for plain HTTP.
        key: Its private key (PEM).
    """

    host: str = "127.0.0.1"
    port: int = 8000
    certificate: Path | None = None
    key: Path | None = None

    def check(self, tokens: Path | None) -> None:
        """Refuse an address that others reach without tokens; say when there is no TLS.

        Raises:
            ConfigError: Tokens are missing, or certificate or key cannot be used.
        """
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("give both --tls-cert and --tls-key, or neither")
        if self.certificate is not None:
            try:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self.certificate, self.key)
            except OSError as error:  # ssl's errors are some, too
                reason = error.strerror or error
                raise ConfigError(
                    f"--tls-cert {self.certificate}, --tls-key {self.key}: {reason}"
                ) from error
        if is_loopback(self.host):
            return
        if tokens is None:
            raise ConfigError(
                f"--host {self.host}: others can reach this address: give --tokens FILE, or omit "
                "--host to serve this machine only"
            )
        if self.certificate is None:
            warn(
                f"--host {self.host} without TLS: photos, answers and tokens can be read on the "
                "network; give --tls-cert and --tls-key, or put a TLS proxy in front"
            )

    def bind(self) -> socket.socket:
        """Return a socket that listens.

        Raises:
            ConfigError: The address cannot be used.
        """
        try:
            family = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"--host {self.host} --port {self.port}: {reason}") from error

    def url(self, bound: socket.socket) -> str:
        """Return the address for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{host}:{bound.getsockname()[1]}"

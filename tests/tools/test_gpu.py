"""The checks for a GPU machine, tried on the CPU: they pass, fail and skip as they say."""

import math
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import torch

from tests import forked
from tools.gpu import __main__ as gpu
from tools.gpu import classes, scoring, trainings
from tools.gpu.context import Context, Finding

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_trial_on_the_cpu_writes_its_findings(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    shutil.copy(ROOT / "docs" / "gpu.md", page)
    names = ["resume", "htg", "prefetching", "values", "scale", "pairs", "reranking", "nccl"]
    found = gpu.findings(names, "cpu")
    said = {one.name: one for one in found}
    assert [one.said for one in found if one.status == "failed"] == []
    assert said["resume"].said.endswith("bit for bit")
    assert said["NCCL"].status == said["re-ranking"].status == "skipped"
    assert said["class layer, 1,000 identities"].status == "measured"
    before = page.read_text().partition(gpu.HEADING)[0]
    gpu.write(page, gpu.section(found, "cpu"))
    text = page.read_text()
    assert text.startswith(before)
    assert text.count(gpu.HEADING) == 1
    assert f"torch {metadata.version('torch')}" in text
    assert all(f"| {one.name} | {one.status} |" in text for one in found)


def test_a_check_that_raises_fails_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(context: Context) -> list[Finding]:
        raise RuntimeError("CUDA error\nand a page more")

    monkeypatch.setitem(gpu.CHECKS, "htg", raises)
    found = gpu.findings(["htg", "reranking"], "cpu")
    assert [one.status for one in found] == ["failed", "skipped"]
    assert found[0].said == "RuntimeError: CUDA error"


def test_wrong_values_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = Context("cpu", tmp_path)
    (whole,) = trainings.prefetching(context)
    assert whole.status == "passed"

    def late(groups, device):
        for (batch,) in groups:
            yield [batch._replace(images=batch.images + 1)]

    monkeypatch.setattr(trainings, "on_device", late)
    assert trainings.prefetching(context)[0].status == "failed"
    monkeypatch.setattr(trainings, "_losses", lambda run: [1.0, math.nan])
    monkeypatch.setattr(trainings, "_trained", lambda *_, **__: None)
    assert {one.status for one in trainings.precisions(context)} == {"failed"}
    answers = iter([{"tar": 0.5}, {"tar": 0.6}])
    monkeypatch.setattr(
        scoring,
        "verification",
        lambda *_, **__: type("Result", (), {"to_dict": lambda self: next(answers)})(),
    )
    assert scoring.all_pairs(context)[0].status == "failed"


def test_what_is_lacking_is_skipped_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scoring, "lacking", lambda module: module == "faiss")
    (one,) = scoring.faiss_indexes(Context("cpu", tmp_path))
    assert (one.status, one.said) == ("skipped", "FAISS is not installed")
    monkeypatch.setattr(scoring, "lacking", lambda module: False)
    assert scoring.faiss_indexes(Context("cpu", tmp_path))[0].status == "skipped"
    monkeypatch.setattr(classes, "BYTES", math.inf)
    assert classes.scale(Context("cpu", tmp_path))[0].status == "measured"  # memory is the GPU's


@pytest.mark.slow
def test_without_a_gpu_the_page_stays_as_it_is() -> None:
    if torch.cuda.is_available():
        pytest.skip("a machine with a GPU")
    page = (ROOT / "docs" / "gpu.md").read_bytes()
    for words in ([], ["--device", "cpu"]):
        done = forked.run(["-m", "tools.gpu", *words], cwd=ROOT)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert "--device cpu" in done.stderr
        assert "Traceback" not in done.stderr
    assert (ROOT / "docs" / "gpu.md").read_bytes() == page


def test_the_page_lists_all_code_of_gpus():
    package, page = ROOT / "facever", (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    code = re.compile(r'torch\.cuda\.|== "cuda"|StandardGpuResources')
    files = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if code.search(path.read_text(encoding="utf-8"))
    ]
    assert len(files) > 10
    table = page.partition("## Code that no test on a CPU reaches")[2].partition("\n## ")[0]
    assert [file for file in files if f"`{file}`" not in table] == []

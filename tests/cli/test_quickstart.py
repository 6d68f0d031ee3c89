"""`facever quickstart`: what it prints of what was reached."""

import json

import pytest
from typer.testing import CliRunner

from facever.cli.quickstart import app
from facever.quickstart import quickstart as workflow
from facever.render.blocks import Facts, List, Section
from facever.render.result import Result


class Done(Result):
    commands = ("facever verify a b",)

    def to_dict(self):
        return {"verification": {"auc": 0.5}, "search": {"right_first": 3}, "seconds": 1.5}

    def describe(self):
        return [Section("r", "R", [Facts([("AUC", "0.5000")]), List("next, try:", self.commands)])]


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_json_holds_numbers_and_text_a_table(monkeypatch, tmp_path, words):
    given = []
    monkeypatch.setattr(workflow, "quickstart", lambda *options: given.append(options) or Done())
    out = str(tmp_path / "out")
    shown = CliRunner().invoke(
        app, ["--out", out, "--minutes", "2", *words], catch_exceptions=False
    )
    assert given == [(tmp_path / "out", 2.0, None, None)]
    if words:
        assert json.loads(shown.stdout) == Done().to_dict()
    else:
        assert "AUC  0.5000" in shown.stdout
        assert "  facever verify a b" in shown.stdout

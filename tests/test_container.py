"""Dockerfile, compose.yaml and .dockerignore agree with the package and with each other."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parent.parent
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
SERVICE = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["facever"]


def instructions(word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)$", DOCKERFILE, re.MULTILINE)


def test_the_two_start_the_service_in_the_same_way():
    (command,) = instructions("CMD")
    assert json.loads(command) == SERVICE["command"]
    assert instructions("VOLUME") == ['["/data"]']
    assert SERVICE["volumes"] == ["data:/data"]
    (health,) = instructions("HEALTHCHECK")
    said = SERVICE["healthcheck"]
    assert "test" not in said  # the image's
    options = {
        name: said[name.replace("-", "_")] for name in ("interval", "timeout", "start-period")
    }
    assert all(f"--{name}={value}" in health for name, value in options.items())
    assert "/v1/health/ready" in health


def test_the_command_is_one_that_facever_has():
    from facever.cli.serve import app

    parameters = {
        option for one in app.registered_commands for option in one.callback.__annotations__
    }
    command = json.loads(instructions("CMD")[0])
    assert command[0] == "serve"
    for word in command:
        if word.startswith("--"):
            assert word[2:].replace("-", "_") in parameters


def test_nothing_is_run_as_root_or_with_capabilities():
    assert instructions("USER") == ["10001:10001"]
    assert SERVICE["read_only"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICE["ports"])


def test_the_extras_exist():
    there = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    (extras,) = [line.removeprefix("EXTRAS=") for line in instructions("ARG") if "EXTRAS" in line]
    assert set(extras.split(",")) <= set(there)


def test_what_is_copied_is_there_and_not_ignored():
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied = {source for line in instructions("COPY") for source in line.split()[:-1]}
    assert {source.split("/")[0] for source in copied} == kept
    assert all((PROJECT / source).exists() for source in copied)


def test_no_registry_is_named():
    for name in ("Dockerfile", "compose.yaml", "tools/container.sh"):
        text = (PROJECT / name).read_text()
        hosts = re.findall(r"https?://([^\s/:'\"]+)|\b([\w-]+\.(?:io|com|org|net))\b", text)
        assert {one or other for one, other in hosts} <= {"127.0.0.1"}, name


def test_the_script_can_be_read():
    done = subprocess.run(["bash", "-n", PROJECT / "tools" / "container.sh"], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "word",
    sorted({line.split()[0] for line in DOCKERFILE.splitlines() if re.match("[A-Z]+ ", line)}),
)
def test_the_script_knows_each_instruction(word):
    script = (PROJECT / "tools" / "container.sh").read_text()
    assert re.search(rf"^ +([A-Z]+ \| )*{word}( \| [A-Z]+)*\)", script, re.MULTILINE)

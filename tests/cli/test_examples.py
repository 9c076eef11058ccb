"""If these fail, a command that answers for members does not do what its help shows, or talks into its answer."""

import json
import shlex
from pathlib import Path

import pytest
from tests.cli.conftest import runner

from palate.cli.explain import explain_command
from palate.cli.main import app
from palate.cli.predict import predict_command
from palate.cli.recommend import recommend_command


@pytest.mark.parametrize("command", [recommend_command, predict_command, explain_command])
def test_the_example_of_the_help_runs_and_its_json_is_alone_on_stdout(whole_service: Path, command: object) -> None:
    (example,) = [line for line in (command.__doc__ or "").splitlines() if "Example: palate " in line]
    typed = example.partition("palate ")[2]
    typed = typed.replace("runs/first", str(whole_service / "run")).replace("my-data", str(whole_service / "data"))
    typed = typed.replace("m00031", "m00007")  # who has events in the small service
    found = runner.invoke(app, shlex.split(typed), catch_exceptions=False)
    assert found.exit_code == 0, found.output
    assert found.stdout
    assert found.stderr == "", "nothing to say where no person is looking"
    found = runner.invoke(app, [*shlex.split(typed), "--json"], catch_exceptions=False)
    assert found.stdout.count("\n") == 1
    assert isinstance(json.loads(found.stdout), dict)

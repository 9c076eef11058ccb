"""If these fail, who asks why an item is recommended gets no answer, or a traceback."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import palate

from palate.data import Dataset
from palate.errors import ConfigError, UnknownItemError, UnknownMemberError
from palate.foundation import FoundationModel
from palate.rank.explanation import Explanation
from palate.terminal.explanation import explanation_tables


def best(service: Path, user: str = "m00007") -> dict[str, object]:
    found = json.loads(palate("recommend", service / "run", service / "data", "--user", user, "--json"))
    first: dict[str, object] = found["recommendations"][0]
    return first


def test_why_the_best_item_is_recommended(whole_service: Path) -> None:
    run, data, pick = whole_service / "run", whole_service / "data", best(whole_service)
    command = ["explain", run, data, "--user", "m00007", "--item", pick["item_id"]]
    found = json.loads(palate(*command, "--json"))
    assert found["title"] == pick["title"]
    assert found["standing"]["rank"] == 1
    assert found["standing"]["score"] == pytest.approx(pick["score"], abs=1e-4)
    assert {"rules", "events", "intents", "metadata", "parts", "age", "notes"} <= found.keys()
    said = palate(*command)
    assert "rank 1 of" in said.splitlines()[0]
    for heading in ("the score", "past events", "intents", "metadata", "not what made the member choose"):
        assert heading in said, heading
    assert max(map(len, said.splitlines())) <= 100
    same = FoundationModel.from_pretrained(run).explain(Dataset.from_folder(data), "m00007", str(pick["item_id"]))
    assert same == Explanation.model_validate(found)


def test_why_not(whole_service: Path) -> None:
    run, data = whole_service / "run", whole_service / "data"
    dataset = Dataset.from_folder(data)
    own = dataset.events.filter((dataset.events["user_id"] == "m00007") & (dataset.events["event_type"] == "play"))
    said = palate("explain", run, data, "--user", "m00007", "--item", own["item_id"][0])
    assert ": hidden" in said.splitlines()[0]
    assert "no seen already had" in " ".join(said.split())
    assert "play: exclude" in " ".join(said.split())
    assert "no candidate; without rules" in said


def test_questions_that_have_no_answer(whole_service: Path) -> None:
    command = ["explain", whole_service / "run", whole_service / "data"]
    with pytest.raises(UnknownItemError, match="no item nothing"):
        palate(*command, "--user", "m00007", "--item", "nothing")
    with pytest.raises(UnknownMemberError):
        palate(*command, "--user", "nobody", "--item", "t00001")
    with pytest.raises(ConfigError, match="events at or after the moment"):
        palate(*command, "--user", "m00007", "--item", "t00001", "--at", "2001-01-31")
    with pytest.raises(ConfigError, match="--at soon: not a time"):
        palate(*command, "--user", "m00007", "--item", "t00001", "--at", "soon")


def test_brackets_in_names_are_no_markup(whole_service: Path) -> None:
    from rich.console import Console

    run, data, pick = whole_service / "run", whole_service / "data", best(whole_service)
    found = FoundationModel.from_pretrained(run).explain(Dataset.from_folder(data), "m00007", str(pick["item_id"]))
    odd = found.model_copy(
        update={
            "title": "[rec] [/oops]",
            "events": tuple(each.model_copy(update={"title": "[red]", "effect": 1.0}) for each in found.events[:1]),
            "metadata": tuple(each.model_copy(update={"value": "[/]"}) for each in found.metadata),
        }
    )
    console = Console(width=100, record=True)
    with console.capture() as capture:
        console.print(explanation_tables(odd))
    assert "[rec] [/oops]" in capture.get()
    assert "[red]" in capture.get()


def test_long_values_are_cut_for_people_alone(whole_service: Path) -> None:
    from rich.console import Console

    run, data, pick = whole_service / "run", whole_service / "data", best(whole_service)
    found = FoundationModel.from_pretrained(run).explain(Dataset.from_folder(data), "m00007", str(pick["item_id"]))
    plot, tiny = "of a long night " * 60, -0.0001
    odd = found.model_copy(
        update={
            "metadata": tuple(each.model_copy(update={"value": plot}) for each in found.metadata[:1]),
            "intents": tuple(each.model_copy(update={"effect": tiny}) for each in found.intents),
        }
    )
    console = Console(width=100)
    with console.capture() as capture:
        console.print(explanation_tables(odd))
    assert 5 < capture.get().count("night") < 15
    assert "-0.00" not in capture.get()

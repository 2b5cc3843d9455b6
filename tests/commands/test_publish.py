"""`earlybird publish`, and tickets by the names of models on the hub: the hub's own client speaks to a stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_client import HubClient, Said
from hub_stand_in import TOKEN, Hub, hub_on_this_machine, problems_of
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb
from earlybird.checkpoint.publish import publish as publish_model
from earlybird.recipes.run_directory import RunDirectory

SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 96, "vocab_size": 50}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with hub_on_this_machine() as started:
        yield started


@pytest.fixture(scope="module")
def client(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    with HubClient(hub.address, tmp_path_factory.mktemp("home")) as started:
        yield started


def classifier() -> BertForSequenceClassification:
    return BertForSequenceClassification(BertConfig(**SIZES))


def save_pruned(directory: Path) -> eb.Ticket:
    """Write a pruned model, with its ticket; what it was pruned by."""
    model = classifier()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5, neurons=0.4))
    eb.save(eb.prune(model, ticket), directory, ticket=ticket)
    return ticket


def publish(client: HubClient, directory: Path, name: str, *options: str, token: str | None = TOKEN) -> Said:
    return client.command("publish", str(directory), name, *options, token=token)


def one_sentence(said: Said, status: int) -> str:
    assert said.status == status, said
    assert said.err.count("\n") == 1, said
    return said.err


def test_a_saved_model_is_published_with_card_and_ticket_and_its_ticket_loads_by_name(
    hub: Hub, client: HubClient, tmp_path: Path
) -> None:
    save_pruned(tmp_path / "small")
    (tmp_path / "small" / ".env").write_text("SECRET=1")
    said = publish(client, tmp_path / "small", "me/small", "--private", "--json")
    assert said.status == 0, said
    assert json.loads(said.out) == {"repository": "me/small", "address": f"{hub.address}/me/small"}
    here = {path.name: path.read_bytes() for path in (tmp_path / "small").iterdir() if path.name != ".env"}
    assert hub.files["me/small"] == here
    assert {"README.md", "config.json", "model.safetensors", "ticket.json"} <= set(here)
    assert hub.private == {"me/small"}
    assert here["README.md"].decode() in hub.cards

    assert client.load("me/small", tmp_path / "fetched.json") == ""
    assert (tmp_path / "fetched.json").read_bytes() == here["ticket.json"]


def test_what_an_earlier_version_left_is_replaced_and_other_files_stay(
    hub: Hub, client: HubClient, tmp_path: Path
) -> None:
    save_pruned(tmp_path / "small")
    hub.files["me/again"] = dict.fromkeys(
        ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "summary.json", "LICENSE"], b"before"
    )
    assert publish(client, tmp_path / "small", "me/again").status == 0
    assert hub.files["me/again"].keys() == {path.name for path in (tmp_path / "small").iterdir()} | {"LICENSE"}


def test_of_a_run_the_ticket_and_the_summary_go_along(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    files = RunDirectory(tmp_path / "run")
    model = files.trained("continue", "random") / "model"
    ticket = save_pruned(model)
    (model / "ticket.json").unlink()
    ticket.save(files.ticket("random"))
    files.summary.write_text('{"earlybird": "0.1.0"}')
    assert publish(client, model, "me/random").status == 0
    published = hub.files["me/random"]
    assert published["ticket.json"] == files.ticket("random").read_bytes()
    assert published["summary.json"] == files.summary.read_bytes()


def test_what_the_hub_refuses_is_one_sentence_and_status_1(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    save_pruned(tmp_path)
    said = one_sentence(publish(client, tmp_path, "me/refused", token="hf_of_another"), 1)
    assert "could not be published as me/refused: Invalid username or password" in said
    assert "me/refused" not in hub.files
    card = tmp_path / "README.md"
    card.write_text(card.read_text().replace("library_name:", "base_model: a--b\nlibrary_name:"))
    said = one_sentence(publish(client, tmp_path, "me/refused"), 1)
    assert "\"base_model\" with value 'a--b' is not valid" in said
    assert hub.files["me/refused"] == {}


@pytest.mark.thorough
def test_a_hub_that_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    save_pruned(tmp_path / "small")
    with HubClient("http://127.0.0.1:1", tmp_path) as alone:
        said = one_sentence(publish(alone, tmp_path / "small", "me/small"), 1)
        assert "could not be published as me/small: " in said
        assert "could not be reached" in alone.load("me/small", tmp_path / "never.json")


def test_bad_input_is_one_sentence_and_status_2(hub: Hub, client: HubClient, tmp_path: Path) -> None:
    save_pruned(tmp_path / "small")
    assert "publishing needs a token" in one_sentence(publish(client, tmp_path / "small", "me/none", token=None), 2)
    assert "holds no model" in one_sentence(publish(client, tmp_path, "me/none"), 2)
    assert "is no name of a repository" in one_sentence(publish(client, tmp_path / "small", "none"), 2)
    assert "me/none" not in hub.files


@pytest.mark.parametrize(
    "name", ["small", "me/small/er", "me/a--b", "me/..", "/small", "me/small.git", "me/sm all", ""]
)
def test_what_is_no_name_of_a_repository_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(eb.InputError, match="is no name of a repository: give OWNER/NAME"):
        publish_model(tmp_path, name)


def test_a_directory_without_a_pruned_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(eb.InputError, match="there is no directory"):
        publish_model(tmp_path / "nowhere", "me/small")
    with pytest.raises(eb.InputError, match="holds no model"):
        publish_model(tmp_path, "me/small")
    classifier().save_pretrained(tmp_path / "plain")
    eb.save(classifier(), tmp_path / "whole")
    for name in ("plain", "whole"):
        with pytest.raises(eb.InputError, match="holds no pruned model with its card"):
            publish_model(tmp_path / name, "me/small")
    save_pruned(tmp_path / "another")
    units = eb.Anatomy.of(classifier())
    eb.Ticket.random(units, eb.PruningConfig(neurons=0.1), seed=1).save(tmp_path / "another" / "ticket.json")
    with pytest.raises(eb.InputError, match="not pruned by this ticket"):
        publish_model(tmp_path / "another", "me/small")
    save_pruned(tmp_path / "damaged")
    (tmp_path / "damaged" / "README.md").write_text("---\ntags: [\n---\n")
    with pytest.raises(eb.InputError, match=r"README\.md is damaged"):
        publish_model(tmp_path / "damaged", "me/small")


@pytest.mark.parametrize(
    "base", ["", "google-bert/bert-base-uncased", "gpt2", "a--b", "a/b/c", "x.git", "x: [\n---", "/tmp/model", "../up"]
)
def test_the_card_passes_the_hubs_validation_whatever_the_model_was_made_of(base: str, tmp_path: Path) -> None:
    model = classifier()
    eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.5)))
    model.config._name_or_path = base
    eb.save(model, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert list(problems_of(card)) == []
    assert ("base_model" in card) == (base in ("google-bert/bert-base-uncased", "gpt2"))


def test_a_ticket_that_is_here_goes_before_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = save_pruned(tmp_path / "me" / "small")
    ticket.save(tmp_path / "me" / "file")
    monkeypatch.chdir(tmp_path)
    for name in ("me/small", "me/file"):
        assert eb.Ticket.load(name).provenance == ticket.provenance
    (tmp_path / "me" / "empty").mkdir()
    with pytest.raises(eb.InputError, match=r"there is no ticket at me/empty/ticket\.json"):
        eb.Ticket.load("me/empty")
    for path in ("me/nothing.json", Path("me/nothing"), "nothing"):
        with pytest.raises(eb.InputError, match="there is no ticket at"):
            eb.Ticket.load(path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("me/nothing", "the Hugging Face hub shows none of that name"),
        ("me/other", "me/other on the Hugging Face hub has no ticket.json"),
        ("me/a--b", "there is no me/a--b here, nor can there be on the Hugging Face hub"),
        ("me/damaged", "its format is not earlybird-ticket"),
    ],
)
def test_a_ticket_that_the_hub_does_not_have_is_one_sentence(
    name: str, said: str, hub: Hub, client: HubClient, tmp_path: Path
) -> None:
    hub.files |= {"me/other": {"README.md": b""}, "me/damaged": {"ticket.json": b"{}"}}
    error = client.load(name, tmp_path / "never.json")
    assert said in error
    assert len(error.splitlines()) == 1

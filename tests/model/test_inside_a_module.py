"""A Hugging Face model inside another module, or several of them: each says its own shape when it is pruned."""

from __future__ import annotations

import copy
from string import ascii_lowercase

import numpy as np
import pytest
import torch
from datasets import Dataset
from families import build
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import nn
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPModel,
    CLIPTextModel,
    CLIPVisionModel,
    EncoderDecoderModel,
    LlamaConfig,
    LlamaModel,
)

import earlybird as eb
from earlybird.integrations.hf_trainer import train_early_bird

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 64}
UNEVEN = eb.PruningConfig(heads=0.4, neurons=0.4)
TOKENS = {"input_ids": torch.arange(5, 12)[None]}


class Classifier(nn.Module):
    """A module of one's own."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(32, 2)

    def forward(self, input_ids):
        return self.head(self.encoder(input_ids).last_hidden_state[:, 0])


def bert():
    return build("bert")


def pruned(model, config=UNEVEN, seed=0):
    return eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), config, seed=seed))


def output(model, batch=TOKENS):
    return model.eval()(**batch).last_hidden_state


WRAPPERS = pytest.mark.parametrize(
    ("wrap", "inner"),
    [
        (nn.Sequential, "0"),
        (Classifier, "encoder"),
        (lambda model: nn.Sequential(Classifier(model)), "0.encoder"),
        (lambda model: nn.ModuleDict({"a": model, "b": nn.Linear(2, 2)}), "a"),
        (torch.compile, ""),
    ],
    ids=["Sequential", "own module", "two modules", "ModuleDict", "compiled"],
)


@WRAPPERS
def test_what_it_saves_loads(wrap, inner, tmp_path):
    whole = pruned(wrap(bert()))
    whole = getattr(whole, "_orig_mod", whole)
    model = whole.get_submodule(inner)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    assert eb.Anatomy.of(again).units == eb.Anatomy.of(model).units
    torch.testing.assert_close(output(again), output(model))


@WRAPPERS
def test_a_uniform_shape_is_said_by_the_fields_of_the_config(wrap, inner):
    whole = wrap(LlamaModel(LlamaConfig(**SIZES, num_key_value_heads=8)))
    # Llama's config takes divisors of 32 alone: of 5 heads 4 are the nearest.
    ticket = eb.Ticket.random(eb.Anatomy.of(whole), eb.PruningConfig(heads=0.4, neurons=0.5, uniform=True))
    assert ticket.kept("heads") == (4, 4)
    eb.prune(whole, ticket)
    config = getattr(whole, "_orig_mod", whole).get_submodule(inner).config
    assert (config.num_attention_heads, config.head_dim, config.intermediate_size) == (4, 4, 32)
    assert not hasattr(config, "quantization_config")


def test_a_search_on_a_wrapper_leads_to_the_same(tmp_path):
    whole = Classifier(bert())
    search = eb.Search(whole, eb.SearchConfig(heads=0.4, neurons=0.4), total_steps=4)
    for _ in range(2):
        (whole(**TOKENS).square().mean() + search.penalty()).backward()
        search.step()
    ticket = search.draw_now()
    search.finish()
    eb.prune(whole, ticket)
    whole.encoder.save_pretrained(tmp_path)
    torch.testing.assert_close(output(AutoModel.from_pretrained(tmp_path)), output(whole.encoder))


@pytest.mark.parametrize("shared", [False, True], ids=["each its config", "one config"])
def test_two_models_say_two_shapes(shared, tmp_path):
    first = BertConfig(**SIZES)
    towers = nn.ModuleDict({"a": BertModel(first), "b": BertModel(first if shared else BertConfig(**SIZES))})
    anatomy = eb.Anatomy.of(towers)
    masks = {"heads": np.ones((4, 8), bool)}
    masks["heads"][0, :2] = masks["heads"][3, :5] = False
    eb.prune(towers, eb.Ticket.of(anatomy, masks))
    for name, kept in {"a": (6, 8), "b": (8, 3)}.items():
        towers[name].save_pretrained(tmp_path / name)
        again = AutoModel.from_pretrained(tmp_path / name)
        assert eb.Anatomy.of(again).units["heads"] == kept
        torch.testing.assert_close(output(again), output(towers[name]))


def test_one_of_two_with_one_config_may_stay_dense(tmp_path):
    config = BertConfig(**SIZES)
    towers = nn.ModuleDict({"a": BertModel(config), "b": BertModel(config)})
    ticket = eb.Ticket.random(eb.Anatomy.of(towers).excluding(["b.*"]), eb.PruningConfig(neurons=0.5, uniform=True))
    eb.prune(towers, ticket)
    for name, neurons in {"a": 32, "b": 64}.items():
        towers[name].save_pretrained(tmp_path / name)
        assert towers[name].config.intermediate_size == neurons
        torch.testing.assert_close(output(AutoModel.from_pretrained(tmp_path / name)), output(towers[name]))


@pytest.mark.parametrize("uniform", [False, True])
def test_a_model_beside_it_with_the_same_config_stays_what_it_is(uniform, tmp_path):
    config = BertConfig(**SIZES)
    teacher, student = BertModel(config), BertModel(config)
    before = config.to_dict()
    pruned(student, eb.PruningConfig(neurons=0.5, uniform=uniform))
    assert config.to_dict() == before
    for name, model in {"teacher": teacher, "student": student}.items():
        model.save_pretrained(tmp_path / name)
        torch.testing.assert_close(output(AutoModel.from_pretrained(tmp_path / name)), output(model))


def encoder_decoder():
    encoder, decoder = BertConfig(**SIZES), BertConfig(**SIZES, is_decoder=True, add_cross_attention=True)
    from transformers import BertLMHeadModel, EncoderDecoderConfig

    config = EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    return EncoderDecoderModel(config, BertModel(encoder), BertLMHeadModel(decoder))


PARTS = pytest.mark.parametrize(
    ("make", "part", "architecture"),
    [
        (lambda: build("clip"), "text_model", CLIPTextModel),
        (lambda: build("clip"), "vision_model", CLIPVisionModel),
        (encoder_decoder, "encoder", BertModel),
        (encoder_decoder, "decoder.bert", BertModel),
    ],
    ids=["CLIP, text", "CLIP, vision", "encoder", "decoder"],
)


@PARTS
def test_a_part_with_a_config_of_its_own_says_its_shape(make, part, architecture, tmp_path):
    model = pruned(make())
    part = model.get_submodule(part)
    part.save_pretrained(tmp_path)
    again = architecture.from_pretrained(tmp_path)
    assert list(eb.Anatomy.of(again).units.values()) == list(eb.Anatomy.of(part).units.values())
    loaded = again.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in part.state_dict().items())


@pytest.mark.parametrize("make", [lambda: build("clip"), encoder_decoder], ids=["CLIP", "encoder-decoder"])
def test_the_whole_of_such_parts_loads_and_its_parts_from_it(make, tmp_path):
    model = pruned(make())
    model.save_pretrained(tmp_path / "pruned")
    again = type(model).from_pretrained(tmp_path / "pruned")
    assert eb.Anatomy.of(again).units == eb.Anatomy.of(model).units
    # What was loaded says as much as what was pruned.
    again.save_pretrained(tmp_path / "again")
    assert eb.Anatomy.of(type(model).from_pretrained(tmp_path / "again")).units == eb.Anatomy.of(model).units
    eb.export(model, tmp_path / "dense", format="dense")
    assert eb.Anatomy.of(type(model).from_pretrained(tmp_path / "dense")).units == eb.Anatomy.of(make()).units


def test_one_part_may_be_uniform_where_another_is_not(tmp_path):
    model = build("clip")
    anatomy = eb.Anatomy.of(model)
    uneven = anatomy.excluding(["text_model.*"])
    eb.prune(model, eb.Ticket.random(uneven, eb.PruningConfig(neurons=0.3)))
    uniform = eb.Anatomy.of(model).excluding(["vision_model.*"])
    eb.prune(model, eb.Ticket.random(uniform, eb.PruningConfig(neurons=0.5, uniform=True)))
    model.text_model.save_pretrained(tmp_path / "text")
    again = CLIPTextModel.from_pretrained(tmp_path / "text")
    assert not hasattr(again.config, "quantization_config")
    assert list(eb.Anatomy.of(again).units.values()) == list(eb.Anatomy.of(model.text_model).units.values())
    model.save_pretrained(tmp_path / "whole")
    whole = CLIPModel.from_pretrained(tmp_path / "whole")
    assert eb.Anatomy.of(whole).units == eb.Anatomy.of(model).units
    eb.export(whole, tmp_path / "dense", format="dense")
    assert eb.Anatomy.of(CLIPModel.from_pretrained(tmp_path / "dense")).units == anatomy.units


def test_a_part_of_what_was_loaded_says_its_shape(tmp_path):
    model = pruned(build("clip"))
    model.save_pretrained(tmp_path / "whole")
    part = CLIPModel.from_pretrained(tmp_path / "whole").text_model
    part.save_pretrained(tmp_path / "part")
    assert eb.Anatomy.of(CLIPTextModel.from_pretrained(tmp_path / "part")).units == eb.Anatomy.of(part).units


def test_what_of_a_wrapper_can_be_saved_is_named(tmp_path):
    with pytest.raises(eb.InputError, match=r"got Classifier; .*the model inside.*\.encoder"):
        eb.save(Classifier(bert()), tmp_path)


def sentence_transformer(directory):
    BertModel(BertConfig(**{**SIZES, "vocab_size": 31})).save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ascii_lowercase]))
    BertTokenizer(str(directory / "vocab.txt")).save_pretrained(directory)
    words = Transformer(str(directory))
    return SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension())], device="cpu")


@pytest.mark.parametrize("weights", ["rewind", "continue"])
def test_a_sentence_transformer_trained_small_in_its_trainer_loads_from_what_it_saves(weights, tmp_path):
    model = sentence_transformer(tmp_path / "dense")
    pairs = Dataset.from_dict({"anchor": ["a b", "c d"] * 8, "positive": ["b c", "d e"] * 8})
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path / "run"), max_steps=6, per_device_train_batch_size=2, save_steps=3, report_to="none"
    )
    trainer = SentenceTransformerTrainer(
        model,
        arguments,
        train_dataset=pairs,
        loss=MultipleNegativesRankingLoss(model),
        processing_class=model.tokenizer,
    )
    config = eb.SearchConfig(heads=0.4, neurons=0.4, score="gradient", detector="fixed-time")
    ticket = train_early_bird(trainer, config, weights=weights)
    assert sum(ticket.kept("heads")) < 16
    trainer.model.save_pretrained(str(tmp_path / "saved"))
    expected = trainer.model.encode(["a b c", "x y"])
    for directory in (tmp_path / "saved", tmp_path / "run" / "checkpoint-6"):
        again = SentenceTransformer(str(directory), device="cpu")
        assert eb.Anatomy.of(again).units["heads"] == ticket.kept("heads")
        np.testing.assert_allclose(again.encode(["a b c", "x y"]), expected, atol=1e-5)


@pytest.mark.parametrize("config", [UNEVEN, eb.PruningConfig(neurons=0.4, uniform=True)], ids=["uneven", "uniform"])
def test_a_pruned_encoder_in_the_format_of_sentence_transformers_gives_its_embeddings(config, tmp_path):
    encoder, texts = sentence_transformer(tmp_path / "dense"), ["a b c", "x y"]
    batch = encoder.tokenizer(texts, padding=True, return_tensors="pt")
    inner = encoder[0].auto_model
    ticket = eb.Ticket.random(eb.Anatomy.of(inner), config)
    eb.prune(inner, ticket)
    states, visible = output(inner, batch), batch["attention_mask"][..., None]
    pooled = ((states * visible).sum(1) / visible.sum(1)).detach().numpy()
    encoder.save_pretrained(str(tmp_path / "saved"))
    np.testing.assert_allclose(SentenceTransformer(str(tmp_path / "saved")).encode(texts), pooled, atol=1e-5)
    eb.save(inner, tmp_path / "saved", ticket=ticket)  # the same weights with their digest and the error message
    again = SentenceTransformer(str(tmp_path / "saved"))
    np.testing.assert_allclose(again.encode(texts), pooled, atol=1e-5)
    assert eb.Anatomy.of(again).units == eb.Anatomy.of(inner).units
    assert type(eb.load(tmp_path / "saved")) is BertModel


def test_a_refusal_leaves_every_config_alone():
    whole = Classifier(bert())
    before = copy.deepcopy(whole.encoder.config.to_dict())
    ticket = eb.Ticket.random(eb.Anatomy.of(whole), UNEVEN)
    whole.other = nn.Linear(2, 2)
    whole.other.weight = whole.encoder.encoder.layer[0].output.dense.weight
    with pytest.raises(eb.InputError):
        eb.prune(whole, ticket)
    assert whole.encoder.config.to_dict() == before

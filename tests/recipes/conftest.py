"""Tiny pretrained models made on the spot, and a whole run of a shipped recipe on them."""

from __future__ import annotations

import json
import shutil
import string

import datasets
import huggingface_hub
import pytest
import tokenizers
import torch
import transformers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.run import run_stages
from earlybird.recipes.stages.summary import summarise
from earlybird.report.write import write_report

WORDS = """good bad fine awful film plot actor the is was of and in where who what hide key cat dog under
red blue green grey pink gold"""
QUICK = [
    "training.batch_size=8",
    "training.optimizer=adamw",
    "training.learning_rate=1e-2",
    "search.detector=hamming",
    "search.record=all",
    "retraining.weights=both",
]


@pytest.fixture(autouse=True)
def _quiet_and_own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    transformers.logging.set_verbosity_error()


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A directory with a BERT of two layers and a WordPiece tokenizer that knows WORDS and the letters."""
    directory = tmp_path_factory.mktemp("models") / "tiny-bert"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters), *WORDS.split()]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512})
    )
    return directory


CHAT_TEMPLATE = """{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} <end>
{% endfor %}{% if add_generation_prompt %}<assistant> {% endif %}"""


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """A directory with a Llama of two layers and a tokenizer that knows WORDS, roles and an end, and no padding."""
    directory = tmp_path_factory.mktemp("models") / "tiny-llama"
    vocabulary = ["<unk>", "<end>", "<system>", "<user>", "<assistant>", *WORDS.split()]
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: number for number, word in enumerate(vocabulary)}, "<unk>")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<end>", unk_token="<unk>", model_max_length=64
    )
    tokenizer.add_tokens([tokenizers.AddedToken(f"<{role}>", special=True) for role in ("system", "user", "assistant")])
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(directory)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.3,  # so that an output layer that stays as it is can prefer a word
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.fixture
def short_model(tmp_path, tiny_bert):
    """Make a directory with a model of 64 positions of the family given, whose tokenizer names no limit."""

    def make(family):
        directory = shutil.copytree(tiny_bert, tmp_path / f"short-{family}")
        config = getattr(transformers, f"{family}Config").from_pretrained(tiny_bert, max_position_embeddings=64)
        getattr(transformers, f"{family}Model")(config).save_pretrained(directory)
        (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
        return directory

    return make


@pytest.fixture
def run_recipe(tmp_path):
    """Run a recipe with overrides to its report; returns the job and its summary."""

    def run(recipe, *overrides):
        job = Job.begin(read_recipe(recipe, [f"output={tmp_path / 'run'}", *QUICK, *overrides]))
        done = dict(run_stages(job))
        assert all(done.values())
        summary = summarise(job.files)
        write_report(job.files.root)
        assert not any(dict(run_stages(Job.open(job.files.root))).values())
        return job, summary

    return run

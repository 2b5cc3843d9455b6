"""Four ways of loading a pruned model, each in a process of its own; and no way at all where it would be wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

import earlybird as eb

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "small", "network", "would", "have", "been", "enough"]
# Put in front of a program, it makes earlybird impossible to import.
WITHOUT_EARLYBIRD = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "earlybird":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocker())
"""
COMPARE = """
import sys, torch
from safetensors.torch import load_file
expected = load_file(sys.argv[2])
torch.testing.assert_close(model(expected["ids"]).logits, expected["logits"], rtol=0, atol=1e-5)
"""


@dataclass(frozen=True)
class Saved:
    pruned: Path
    uniform: Path
    dense: Path
    expected: Path
    expected_uniform: Path


def strong_bert():
    """A tiny BERT with weights large enough that a wrong one would show."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=48, num_hidden_layers=3, num_attention_heads=6, intermediate_size=96, vocab_size=len(WORDS)
    )
    model = BertForSequenceClassification(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def tokenizer():
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    ids = torch.tensor([[4, 5, 6, 7, 8, 9, 10]])
    found = Saved(root / "pruned", root / "uniform", root / "dense", root / "pruned.st", root / "uniform.st")
    model = strong_bert()
    ticket = eb.Ticket.random(eb.Anatomy.of(model), eb.PruningConfig(heads=0.25, neurons=0.4))
    eb.save(eb.prune(model, ticket), found.pruned, ticket=ticket, accuracy=88.1, processor=tokenizer())
    eb.export(model, found.dense, processor=tokenizer())
    uniform = strong_bert()
    eb.prune(uniform, eb.Ticket.random(eb.Anatomy.of(uniform), eb.PruningConfig(neurons=0.4, uniform=True)))
    eb.save(uniform, found.uniform)
    with torch.no_grad():
        save_file({"ids": ids, "logits": model(ids).logits}, found.expected)
        save_file({"ids": ids, "logits": uniform(ids).logits}, found.expected_uniform)
    return found


def in_a_process_of_its_own(program, *arguments):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_from_pretrained_after_the_import(saved):
    program = f"""
import sys
import earlybird
assert "torch" not in sys.modules and "transformers" not in sys.modules
from transformers import AutoModel, AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])
{COMPARE}
base = AutoModel.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
assert earlybird.Anatomy.of(base).units == earlybird.Anatomy.of(model).units
"""
    in_a_process_of_its_own(program, saved.pruned, saved.expected)


def test_pipeline_after_the_import_in_the_other_order(saved):
    program = """
import sys
import transformers
from transformers import pipeline
transformers.quantizers.auto  # imported before earlybird
import earlybird
classify = pipeline("text-classification", model=sys.argv[1], device="cpu")
model = classify.model
print(classify("the small network would have been enough")[0]["score"])
"""
    score = float(in_a_process_of_its_own(program + COMPARE, saved.pruned, saved.expected))
    probabilities = load_file(saved.expected)["logits"].softmax(-1)
    assert score == pytest.approx(probabilities.max().item(), abs=1e-5)


def test_a_uniform_ticket_without_earlybird_and_no_silent_loading_of_another(saved):
    program = f"""{WITHOUT_EARLYBIRD}
from transformers import AutoModelForSequenceClassification
try:
    AutoModelForSequenceClassification.from_pretrained(sys.argv[3])
except Exception as error:
    print(type(error).__name__)
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])
{COMPARE}
assert not any(name.startswith("earlybird") for name in sys.modules)
"""
    said = in_a_process_of_its_own(program, saved.uniform, saved.expected_uniform, saved.pruned)
    assert "Error" in said


@pytest.mark.thorough
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ignore_mismatched_sizes": True},
        {"ignore_mismatched_sizes": True, "attn_implementation": "eager", "dtype": "bfloat16"},
        {"ignore_mismatched_sizes": True, "use_safetensors": True},
    ],
    ids=" ".join,
)
def test_without_earlybird_nothing_loads_and_the_error_says_what_to_do(saved, arguments):
    program = f"""{WITHOUT_EARLYBIRD}
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertForSequenceClassification, pipeline
assert AutoConfig.from_pretrained(sys.argv[1]).num_hidden_layers == 3
AutoTokenizer.from_pretrained(sys.argv[1])
arguments = {arguments!r}
loads = [lambda: kind.from_pretrained(sys.argv[1], **arguments) for kind in (AutoModel, BertForSequenceClassification)]
loads.append(lambda: pipeline("text-classification", model=sys.argv[1], model_kwargs=arguments))
for load in loads:
    try:
        load()
    except Exception as error:
        assert "put `import earlybird` before from_pretrained" in str(error), error
    else:
        raise AssertionError("it loaded")
"""
    in_a_process_of_its_own(program, saved.pruned)


def test_after_the_import_sizes_to_be_ignored_are_none(saved):
    program = f"""
import sys
import earlybird
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], ignore_mismatched_sizes=True)
{COMPARE}
assert not hasattr(model.config, "transformers_weights")
"""
    in_a_process_of_its_own(program, saved.pruned, saved.expected)


def test_what_earlier_versions_saved_loads(saved, tmp_path):
    before = tmp_path / "before"
    shutil.copytree(saved.pruned, before)
    config = json.loads((before / "config.json").read_text())
    del config["transformers_weights"]
    (before / "config.json").write_text(json.dumps(config))
    expected = load_file(saved.expected)
    for model in (eb.load(before), AutoModelForSequenceClassification.from_pretrained(before)):
        torch.testing.assert_close(model(expected["ids"]).logits, expected["logits"], rtol=0, atol=1e-5)


SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
TEXT, IMAGES = {**SIZES, "vocab_size": 60}, {**SIZES, "image_size": 16, "patch_size": 8}
COMPOSITES = {
    "clip": lambda: hf.CLIPModel(
        hf.CLIPConfig(
            text_config={**TEXT, "eos_token_id": 59, "projection_dim": 16},
            vision_config={**IMAGES, "projection_dim": 16},
            projection_dim=16,
        )
    ),
    "siglip": lambda: hf.SiglipModel(hf.SiglipConfig(text_config=TEXT, vision_config=IMAGES)),
    "gemma3": lambda: hf.Gemma3ForConditionalGeneration(
        hf.Gemma3Config(
            text_config={**TEXT, "num_key_value_heads": 4, "head_dim": 8},
            vision_config=IMAGES,
            mm_tokens_per_image=4,
            image_token_index=3,
            boi_token_index=4,
            eoi_token_index=5,
        )
    ),
}
# What reads the config of the whole, and what reads a part's.
READERS = {
    "clip": [
        *("CLIPModel", "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPVisionModel"),
        *("CLIPVisionModelWithProjection", "CLIPForImageClassification", "AutoModel"),
        *("AutoModelForImageClassification", "AutoModelForZeroShotImageClassification"),
    ],
    "siglip": [
        *("SiglipModel", "SiglipTextModel", "SiglipVisionModel", "SiglipForImageClassification", "AutoModel"),
        "AutoModelForImageClassification",
    ],
    "gemma3": [
        *("Gemma3ForConditionalGeneration", "Gemma3ForCausalLM", "Gemma3TextModel", "AutoModelForCausalLM"),
        *("AutoModelForImageTextToText", "AutoModel"),
    ],
}


@pytest.fixture(scope="module")
def composites(tmp_path_factory):
    root = tmp_path_factory.mktemp("composites")
    for name, make in COMPOSITES.items():
        torch.manual_seed(0)
        model = make()
        config = eb.PruningConfig(heads=0.5, neurons=0.4, heads_scope="global")
        eb.save(eb.prune(model, eb.Ticket.random(eb.Anatomy.of(model), config, seed=0)), root / name)
    return root


@pytest.mark.thorough
def test_no_part_of_a_model_of_several_loads_without_earlybird(composites):
    program = f"""{WITHOUT_EARLYBIRD}
import transformers
loaded = []
for family, names in {READERS!r}.items():
    for name in names:
        for ignore in (False, True):
            try:
                getattr(transformers, name).from_pretrained(
                    f"{{sys.argv[1]}}/{{family}}", ignore_mismatched_sizes=ignore
                )
            except Exception as error:
                assert "put `import earlybird` before from_pretrained" in str(error), (name, ignore, error)
            else:
                loaded.append((name, ignore))
assert not loaded, loaded
"""
    in_a_process_of_its_own(program, composites)


@pytest.mark.parametrize("family", READERS)
def test_every_part_loads_after_the_import_and_none_keeps_the_mark(family, composites):
    whole = eb.load(composites / family)
    assert "transformers_weights" not in json.dumps(whole.config.to_dict())
    weights = {name: value.shape for name, value in whole.state_dict().items()}
    for name in READERS[family]:
        model = getattr(hf, name).from_pretrained(composites / family)
        assert "transformers_weights" not in json.dumps(model.config.to_dict()), name
        assert min(eb.Anatomy.of(model).units["heads"]) < 4, name
    assert {name: value.shape for name, value in eb.load(composites / family).state_dict().items()} == weights


def test_a_part_that_was_not_pruned_has_no_mark(tmp_path):
    model = COMPOSITES["clip"]()
    anatomy = eb.Anatomy.of(model)
    kept = [block.name.startswith("vision_model") for block in anatomy.attention]
    masks = {"heads": np.array([[True] * 4 if whole else [True, True, True, False] for whole in kept])}
    eb.save(eb.prune(model, eb.Ticket.of(anatomy, masks)), tmp_path)
    program = f"""{WITHOUT_EARLYBIRD}
from transformers import CLIPVisionModel
CLIPVisionModel.from_pretrained(sys.argv[1])
"""
    in_a_process_of_its_own(program, tmp_path)


def test_a_plain_config_has_no_mark(saved):
    assert "transformers_weights" not in json.loads((saved.uniform / "config.json").read_text())


def test_the_dense_export_without_earlybird(saved):
    program = f"""{WITHOUT_EARLYBIRD}
from transformers import AutoModelForSequenceClassification, AutoTokenizer
AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])
assert model.config.intermediate_size == 96 and model.bert.encoder.layer[1].attention.self.query.out_features == 48
{COMPARE}
"""
    in_a_process_of_its_own(program, saved.dense, saved.expected)

"""The table in docs/slimming.md, row by row: exact where it says exact, refused where it says refused."""

from __future__ import annotations

import contextlib
import copy
import warnings
from pathlib import Path

import pytest
import torch
from families import build, inputs
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

import earlybird as eb

PAGE = Path(__file__).parents[2] / "docs" / "slimming.md"
BFLOAT16 = torch.finfo(torch.bfloat16).eps
PROJECTIONS = ["query", "key", "value", "dense"]


@pytest.fixture(autouse=True)
def _compile_anew():
    yield
    torch.compiler.reset()


def bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=40,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
        # Set at the first forward pass otherwise, after which compiled code is compiled anew of itself.
        problem_type="single_label_classification",
    )
    model = BertForSequenceClassification(config).train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def batch(step=0):
    """More tokens than the model is wide, so that weights are scaled in place of features, but beside LoRA."""
    generator = torch.Generator().manual_seed(step)
    return {
        "input_ids": torch.randint(60, (8, 7), generator=generator),
        "labels": torch.randint(3, (8,), generator=generator),
    }


def lora(model, **settings):
    torch.manual_seed(1)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=PROJECTIONS, task_type="SEQ_CLS", **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return adapted.train()


class Plain:
    """How a combination is set up: the model, what happens during a search, and the context of a forward pass."""

    tolerance = 1e-5
    context = contextlib.nullcontext

    def model(self):
        return bert()

    def reference(self):
        """A model without the combination that must search and compute alike."""
        return bert()

    def during(self, model):
        """Happens once the search has begun; returns what is called from then on."""
        return model


class Compiled(Plain):
    def model(self):
        return torch.compile(bert(), backend="aot_eager")


class CompiledAndRun(Plain):
    def model(self):
        model = torch.compile(bert(), backend="eager")
        model(**batch()).loss.backward()
        model.zero_grad()
        return model


class CompiledDuring(Plain):
    def during(self, model):
        return torch.compile(model, backend="eager")


class CompiledInPlace(Plain):
    def model(self):
        model = bert()
        model.compile(backend="eager")
        return model


class LayerReplaced(Plain):
    def model(self):
        model = bert()
        model.bert.encoder.layer[0] = torch.compile(model.bert.encoder.layer[0], backend="eager")
        return model


class LayerCompiled(Plain):
    def model(self):
        model = bert()
        model.bert.encoder.layer[0].compile(backend="eager")
        return model


class Bfloat16(Plain):
    tolerance = 8 * BFLOAT16

    def context(self):
        return torch.autocast("cpu", torch.bfloat16)


class Float16(Plain):
    tolerance = 8 * BFLOAT16

    def context(self):
        return torch.autocast("cpu", torch.float16)


class Checkpointed(Plain):
    reentrant = False

    def model(self):
        model = bert()
        model.gradient_checkpointing_enable({"use_reentrant": self.reentrant})
        return model


class Reentrant(Checkpointed):
    reentrant = True


class ReentrantFrozen(Reentrant):
    def model(self):
        model = super().model()
        model.disable_input_require_grads()
        model.bert.embeddings.requires_grad_(False)
        return model


class Lora(Plain):
    def model(self):
        return lora(bert())

    def reference(self):
        """The same weights in one matrix, of which only what the adapter trains is trained: here, nothing."""
        return lora(bert()).merge_and_unload()


class LoraMerged(Lora):
    def model(self):
        model = super().model()
        model.merge_adapter()
        return model


class LoraDuring(Plain):
    def during(self, model):
        return lora(model)

    def reference(self):
        return lora(bert()).merge_and_unload()


class LoraMergedDuring(Lora):
    def during(self, model):
        model(**batch()).loss.backward()
        return model.merge_and_unload()


class Dora(Plain):
    def model(self):
        return lora(bert(), use_dora=True)


class Ia3(Plain):
    def model(self):
        return get_peft_model(bert(), IA3Config(target_modules=["key", "value"], feedforward_modules=[]))


class Quantized(Plain):
    def model(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch tells of its successor
            return torch.ao.quantization.quantize_dynamic(bert(), {torch.nn.Linear})


class Prompts(Plain):
    def model(self):
        return get_peft_model(bert(), PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2))


CASES = {
    "`torch.compile(model)` before the search": Compiled,
    "`torch.compile(model)` before the search, run already": CompiledAndRun,
    "`torch.compile(model)` during the search": CompiledDuring,
    "`model.compile()`": CompiledInPlace,
    "one layer replaced by `torch.compile(layer)`": LayerReplaced,
    "one layer compiled by `layer.compile()`": LayerCompiled,
    "bfloat16 autocast": Bfloat16,
    "float16 autocast, without `scaler=`": Float16,
    "gradient checkpointing, `use_reentrant=False`": Checkpointed,
    "gradient checkpointing, `use_reentrant=True`": Reentrant,
    "`use_reentrant=True`, inputs of layers without gradient": ReentrantFrozen,
    "LoRA on every projection": Lora,
    "LoRA, merged by `merge_adapter()`": LoraMerged,
    "LoRA put on during the search": LoraDuring,
    "LoRA merged by `merge_and_unload()` during the search": LoraMergedDuring,
    "DoRA": Dora,
    "IA3": Ia3,
    "prompt tuning": Prompts,
    "weights quantized, by `quantize_dynamic`": Quantized,
}


def table():
    rows = [line.strip("|").split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_row_of_the_table_is_tried():
    assert [row[0] for row in table()] == list(CASES)


def evidence(setup, model, during, places, path, steps=3):
    """Run a search; the gradients and deviations that it recorded, per kind (steps, layers, units)."""
    search = eb.Search(
        model,
        eb.SearchConfig(heads=0.5, neurons=0.4, slim=places[0], neuron_slim=places[1]),
        total_steps=50,
        recording=eb.Recording(path, gradients=True),
    )
    model = during(model)
    for step in range(steps):
        with setup.context():
            loss = model(**batch(step)).loss
        (loss + search.penalty()).backward()
        search.step()
        for coefficients in search.slimming.coefficients.values():
            assert coefficients.task_gradient.dtype == torch.float32
    search.finish()
    trajectory = eb.Trajectory.open(path)
    return {kind: trajectory.evidence(kind, "gradient") for kind in ("heads", "neurons")}


def search_in(case, places, tmp_path):
    setup = CASES[case]()
    found = evidence(
        setup, setup.model(), setup.during, places, tmp_path / "found", steps=11 if "without gradient" in case else 3
    )
    expected = evidence(Plain(), setup.reference(), Plain().during, places, tmp_path / "expected")
    for kind, gradients in expected.items():
        assert gradients.any()
        # The first step's coefficients are equal; later ones depend on the sign of gradients near 0, too.
        difference = abs(found[kind][0] - gradients[0]).max()
        assert difference <= setup.tolerance * abs(gradients[0]).max()


def prune_in(case):
    setup = CASES[case]()
    model, reference = setup.model(), setup.reference()
    ticket = eb.Ticket.random(eb.Anatomy.of(reference), eb.PruningConfig(heads=0.5, neurons=0.4), seed=0)
    called = setup.during(model)
    assert eb.prune(called, ticket) is called
    eb.prune(reference, ticket)
    with setup.context():
        found = called(**batch())
    expected = reference(**batch())
    torch.testing.assert_close(
        found.logits.float(),
        expected.logits,
        rtol=0,
        atol=setup.tolerance * float(expected.logits.detach().abs().max()),
    )
    found.loss.backward()
    assert any(parameter.grad is not None for parameter in model.parameters())


def searches():
    for case, outcome, _ in table():
        # Compiling takes long, so that one search tries both places: "before" on heads, "after" on neurons.
        mixed = "compile" in case and outcome == "exact"
        for places in [("before", "after")] if mixed else [("after", "after"), ("before", "before")]:
            yield case, outcome, places


@pytest.mark.parametrize(("case", "outcome", "places"), list(searches()))
def test_searching(case, outcome, places, tmp_path):
    if outcome == "refused":
        with pytest.raises(eb.InputError) as refusal:
            search_in(case, places, tmp_path)
        assert REASONS[case] in str(refusal.value)
    else:
        assert outcome == "exact"
        search_in(case, places, tmp_path)


@pytest.mark.parametrize(("case", "outcome"), [(row[0], row[2]) for row in table()])
def test_afterwards(case, outcome):
    if outcome == "refused":
        setup = CASES[case]()
        ticket = eb.Ticket.random(eb.Anatomy.of(bert()), eb.PruningConfig(heads=0.5, neurons=0.4), seed=0)
        with pytest.raises(eb.InputError):
            eb.prune(setup.model(), ticket)
    else:
        assert outcome == "exact"
        prune_in(case)


REASONS = {
    "one layer replaced by `torch.compile(layer)`": "compile it in place, bert.encoder.layer.0.compile()",
    "float16 autocast, without `scaler=`": "use bfloat16",
    "`use_reentrant=True`, inputs of layers without gradient": "use_reentrant=False",
    "LoRA put on during the search": "put adapters on the model before the search begins",
    "LoRA merged by `merge_and_unload()` during the search": "put adapters on the model before the search begins",
    "DoRA": "merge_and_unload()",
    "IA3": "merge_and_unload()",
    "prompt tuning": "model.get_base_model()",
    "weights quantized, by `quantize_dynamic`": "neither attention nor MLP blocks",
}


def test_hooks_that_pruning_adds_reach_compiled_code():
    """Bloom's attention is handed a bias for all heads, of which it takes its part once it is pruned."""
    model = build("bloom")
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(**inputs("bloom"))
        eb.prune(compiled, eb.Ticket.random(eb.Anatomy.of(compiled), eb.PruningConfig(heads=0.5, neurons=0.4), seed=0))
        torch.testing.assert_close(compiled(**inputs("bloom")).logits, model(**inputs("bloom")).logits)


def test_gradients_under_autocast_are_summed_in_float32(tmp_path):
    setup = Bfloat16()
    found = evidence(setup, bert(), setup.during, ("after", "after"), tmp_path)
    for gradients in found.values():
        recorded = torch.from_numpy(gradients)
        assert (recorded.bfloat16().float() != recorded).float().mean() > 0.9


def test_a_search_that_the_loss_does_not_reach_is_refused(tmp_path):
    model = bert()
    search = eb.Search(model, eb.SearchConfig(neurons=0.4), total_steps=50)
    other = copy.deepcopy(model)
    for step in range(10):
        (other(**batch(step)).loss + search.penalty()).backward()
        if step < 9:
            search.step()
    with pytest.raises(eb.InputError, match="no gradient of the loss has reached the coefficients of the neurons"):
        search.step()

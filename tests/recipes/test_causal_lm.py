import json
import math
import shutil

import pytest
import torch
from safetensors import safe_open
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    MixtralConfig,
    MixtralForCausalLM,
)

import earlybird as eb
from earlybird.errors import InputError
from earlybird.recipes.recipe_file import read_recipe
from earlybird.recipes.stages.job import Job
from earlybird.recipes.stages.run import run_stages
from earlybird.recipes.stages.summary import summarise
from earlybird.recipes.tasks import task_of
from earlybird.recipes.tasks.causal_lm.task import CausalLM

COLOURS = {"cat": "red", "dog": "blue", "film": "green", "plot": "grey", "actor": "pink", "key": "gold"}
SMALL = ["model.max_length=24", "generation.max_new_tokens=4", "data.config=null", "data.format=json-lines"]


def conversation(noun, system=True):
    asked = [{"role": "user", "content": f"what is the {noun}"}, {"role": "assistant", "content": COLOURS[noun]}]
    return [{"role": "system", "content": "the is was"}, *asked] if system else asked


def write(directory, rows, evaluation=None):
    for split, some in (("train", rows), ("test", rows if evaluation is None else evaluation)):
        (directory / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))


def chats(times):
    return [{"messages": conversation(noun, system=count % 2 == 0)} for count in range(times) for noun in COLOURS]


def pairs(times=1):
    rows = [{"prompt": f"what is the {noun}", "completion": colour} for noun, colour in COLOURS.items()]
    return rows * times


def recipe(source, model, *overrides):
    return read_recipe("causal-lm", [f"data.source={source}", f"model.pretrained={model}", *SMALL, *overrides])


def task(source, model, *overrides):
    return task_of(recipe(source, model, *overrides))


# The whole way


@pytest.mark.parametrize("lora", ["null", pytest.param("{r: 8, lora_alpha: 32}", marks=pytest.mark.thorough)])
def test_a_run_learns_answers_to_the_report(tmp_path, tiny_llama, run_recipe, lora):
    write(tmp_path, chats(20), chats(1))
    job, summary = run_recipe(
        "causal-lm",
        f"data.source={tmp_path}",
        f"model.pretrained={tiny_llama}",
        *SMALL,
        "metric=exact_match",
        "training.epochs=6",
        "search.flops=0.8",
        "search.detector=fixed-time",
        "search.compensation=4",
        f"model.lora={lora}",
    )
    assert summary["metric"] == "exact_match"
    assert summary["evaluation_examples"] == 6
    # A guess among all words has a perplexity of 35.
    assert summary["dense"]["perplexity"] < (2 if lora == "null" else 6)
    assert lora != "null" or summary["dense"]["exact_match"] > 80
    assert {"token_accuracy", "f1", "perplexity"} <= set(summary["ticket"])
    page = job.files.report.read_text(encoding="utf-8")
    assert "Exact match" in page
    assert "Perplexity" in page
    # What comes out is a plain model, whatever it was trained through.
    for which in ("ticket", "random"):
        directory = job.files.trained("continue", which) / "model"
        with safe_open(directory / "model.safetensors", "pt") as file:
            assert not any("lora" in name or "base_layer" in name for name in file.offset_keys())
        assert sum(eb.Anatomy.of(eb.load(directory)).units["neurons"]) < 128
    adapters = job.files.pruned("continue", "ticket") / "adapters" / "adapter_model.safetensors"
    assert adapters.is_file() == (lora != "null")


@pytest.mark.thorough
def test_a_mixture_loses_experts_by_a_recipe(tmp_path, tiny_llama, run_recipe):
    directory = shutil.copytree(tiny_llama, tmp_path / "mixture")
    said = AutoConfig.from_pretrained(tiny_llama)
    sizes = {name: getattr(said, name) for name in ("vocab_size", "num_attention_heads", "num_key_value_heads")}
    MixtralForCausalLM(
        MixtralConfig(
            **sizes,
            hidden_size=32,
            num_hidden_layers=2,
            intermediate_size=32,
            num_local_experts=8,
            max_position_embeddings=64,
            initializer_range=0.3,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=None,
        )
    ).save_pretrained(directory)
    write(tmp_path, chats(20), chats(1))
    job, summary = run_recipe(
        "causal-lm",
        f"data.source={tmp_path}",
        f"model.pretrained={directory}",
        *SMALL,
        "training.epochs=4",
        "search.experts=0.5",
        "search.heads=0.25",
        "search.score=coefficient",
        "search.detector=hamming",
        "search.record=all",
    )
    assert summary["ticket"]["experts_ratio"] == 0.5
    assert summary["ticket"]["parameters"] < summary["dense"]["parameters"]
    assert summary["ticket"]["flops"] < summary["dense"]["flops"]  # by its heads: a token goes to two experts still
    for which in ("ticket", "random"):
        loaded = AutoModelForCausalLM.from_pretrained(job.files.trained("continue", which) / "model")
        assert loaded.config.num_local_experts == 4
    page = (job.files.root / "report.html").read_text(encoding="utf-8")
    assert "8 of 16 experts are kept. A coloured cell is a kept expert, a pale one is pruned." in page
    assert "50% of the experts to prune, per layer" in page
    assert "Coefficients of the experts" in page


@pytest.mark.thorough
def test_a_run_through_adapters_that_was_interrupted_ends_as_one_that_was_not(tmp_path, tiny_llama, monkeypatch):
    write(tmp_path, chats(6), chats(1))
    wanted = ["model.lora={r: 4}", "training.batch_size=6", "training.epochs=2", "training.checkpoint_every=3"]
    wanted += ["search.detector=fixed-time", "search.flops=0.8", "search.compensation=4", "training.learning_rate=1e-2"]
    plain = CausalLM.loss
    for name, break_after in (("whole", ()), ("broken", (4, 14, 6))):
        asked = recipe(tmp_path, tiny_llama, *wanted, f"output={tmp_path / name}", "random=false")
        for steps in break_after:
            seen = []

            def loss(self, model, batch, seen=seen, steps=steps):
                seen.append(0)
                if len(seen) > steps:
                    raise KeyboardInterrupt
                return plain(self, model, batch)

            with monkeypatch.context() as patch:
                patch.setattr(CausalLM, "loss", loss)
                with pytest.raises(KeyboardInterrupt):
                    dict(run_stages(Job.begin(asked)))
        dict(run_stages(Job.begin(asked)))
    whole, broken = (
        eb.load(tmp_path / name / "trained" / "continue" / "ticket" / "model") for name in ("whole", "broken")
    )
    assert [tensor.shape for tensor in whole.parameters()] == [tensor.shape for tensor in broken.parameters()]
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter, broken.get_parameter(name)), name
    results = [summarise(Job.open(tmp_path / name).files)["ticket"]["perplexity"] for name in ("whole", "broken")]
    assert results[0] == results[1]


# Tokens


def test_the_loss_is_that_of_the_answer_and_its_end(tmp_path, tiny_llama):
    write(tmp_path, chats(2))
    found = task(tmp_path, tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    batch = found.collate([found.train[0], found.train[7]])
    for row, (numbers, labels) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        noun = list(COLOURS)[row]
        assert tokenizer.decode(labels[labels >= 0]) == f"{COLOURS[noun]} <end>"
        text = tokenizer.decode(numbers[batch["attention_mask"][row] == 1])
        assert text.endswith(f"<user> what is the {noun} <end> <assistant> {COLOURS[noun]} <end>")
        assert text.startswith("<system>" if row == 0 else "<user>")
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_a_pair_is_taken_as_it_is_and_a_text_is_learnt_whole(tmp_path, tiny_llama):
    write(tmp_path, [{**pair, "text": "the cat was red"} for pair in pairs()])
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    item = task(tmp_path, tiny_llama, "data.examples=prompt-completion").train[0]
    assert tokenizer.decode(item.numbers) == "what is the cat red <end>"
    assert tokenizer.decode(item.numbers[item.given :]) == "red <end>"
    item = task(tmp_path, tiny_llama, "data.examples=text").train[0]
    assert (tokenizer.decode(item.numbers), item.given) == ("the cat was red <end>", 0)


def test_packing_puts_texts_one_after_the_other(tmp_path, tiny_llama):
    rows = [{"text": " ".join(["cat"] * count)} for count in (5, 9, 30, 2)]
    write(tmp_path, rows)
    packed = task(tmp_path, tiny_llama, "data.examples=text", "model.packing=true", "model.max_length=10").train
    plain = task(tmp_path, tiny_llama, "data.examples=text", "model.max_length=60").train
    assert [number for item in packed for number in item.numbers] == [n for item in plain for n in item.numbers]
    assert [len(item.numbers) for item in packed] == [10] * 5
    batch = task(tmp_path, tiny_llama, "data.examples=text").collate(packed)
    assert batch["attention_mask"].all()
    assert torch.equal(batch["labels"], batch["input_ids"])


def test_what_is_longer_ends_there_and_is_told(tmp_path, tiny_llama):
    write(tmp_path, [*pairs(), {"prompt": "cat", "completion": " ".join(["red"] * 40)}])
    found = task(tmp_path, tiny_llama, "data.examples=prompt-completion")
    assert len(found.train[6].numbers) == 24
    assert found.notes[0] == "1 of 7 training examples are longer than model.max_length=24 tokens and end there"


# Metrics


def test_perplexity_is_that_of_transformers_own_loss(tmp_path, tiny_llama):
    write(tmp_path, pairs())
    found = task(tmp_path, tiny_llama, "data.examples=prompt-completion")
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    total, tokens, right = 0.0, 0, 0
    with torch.no_grad():
        for item in found.evaluation:
            numbers, labels = torch.tensor([item.numbers]), torch.tensor([item.numbers])
            labels[:, : item.given] = -100
            output = model(input_ids=numbers, labels=labels)
            count = len(item.numbers) - item.given
            total, tokens = total + float(output.loss) * count, tokens + count
            guessed = output.logits[0, item.given - 1 : -1].argmax(-1)
            right += int((guessed == numbers[0, item.given :]).sum())
        metrics = found.metrics(found.predict(model, found.collate(found.evaluation)).numpy())
    assert metrics["perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-5)
    assert metrics["token_accuracy"] == pytest.approx(100 * right / tokens)
    assert set(metrics) == {"perplexity", "token_accuracy"}


def test_answers_are_those_that_each_prompt_gets_alone(tmp_path, tiny_llama):
    write(tmp_path, chats(2))
    found = task(tmp_path, tiny_llama, "metric=f1")
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    with torch.no_grad():
        written = found.predict(model, found.collate(found.evaluation))[:, 3:]
    assert written.shape == (12, 4)
    for item, row in zip(found.evaluation, written.long(), strict=True):
        prompt = torch.tensor([item.numbers[: item.given]])
        alone = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=4, pad_token_id=1
        )[0, item.given :]
        assert row[row >= 0].tolist() == [number for number in alone.tolist() if number != 1]


def test_what_compensation_runs_is_one_forward_pass(tmp_path, tiny_llama):
    write(tmp_path, pairs())
    found = task(tmp_path, tiny_llama, "data.examples=prompt-completion", "metric=exact_match")
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(0))
    found.forward(model, found.collate(found.train))
    assert len(calls) == 1


def test_answers_are_greedy_whatever_the_model_would_do(tmp_path, tiny_llama):
    write(tmp_path, chats(2))
    found = task(tmp_path, tiny_llama, "metric=f1")
    batch = found.collate(found.evaluation)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).eval()
    plain = found.predict(model, batch)
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.suppress_tokens = [int(plain[0, 3])]
    model.generation_config.do_sample = True
    assert torch.equal(found.predict(model, batch), plain)
    assert model.generation_config.repetition_penalty == 5.0


THINKS = """{% for message in messages %}<{{ message['role'] }}>
{% if message['role'] == 'assistant' %}the the {% endif %}{{ message['content'] }} <system>
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""


@pytest.mark.parametrize("template", [THINKS, None])
def test_answers_are_compared_with_what_the_template_lets_the_model_learn(tmp_path, tiny_llama, template):
    """With words before the answer, another token at its end than the tokenizer's, or none."""
    write(tmp_path, chats(1))
    template = template or AutoTokenizer.from_pretrained(tiny_llama).chat_template.replace(" <end>", "")
    changed(tiny_llama, tmp_path / "model", chat_template=template)

    class Knows(torch.nn.Module):
        """Says what the data say."""

        def __init__(self):
            super().__init__()
            self.inner = AutoModelForCausalLM.from_pretrained(tiny_llama)
            self.generation_config = self.inner.generation_config

        def generate(self, input_ids, attention_mask, do_sample):
            rows = []
            for row, visible in zip(input_ids, attention_mask, strict=True):
                prompt = row[visible == 1].tolist()
                item = next(item for item in found.evaluation if item.numbers[: item.given] == prompt)
                answer = [*item.numbers[item.given :], *[4] * 9][:7]
                rows.append([*row.tolist(), *answer])
            return torch.tensor(rows)

        def forward(self, input_ids, attention_mask):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask)

    found = task(tmp_path, tmp_path / "model", "metric=exact_match", "generation.max_new_tokens=7")
    with torch.no_grad():
        metrics = found.metrics(found.predict(Knows(), found.collate(found.evaluation)).numpy())
    assert metrics["exact_match"] == 100


def test_texts_without_a_word_are_left_out(tmp_path, tiny_llama):
    write(tmp_path, [{"text": ""}, {"text": "the cat"}, {"text": ""}])
    found = task(tmp_path, tiny_llama, "data.examples=text")
    assert len(found.train) == 1
    write(tmp_path, [{"text": ""}])
    with pytest.raises(InputError, match="neither this text nor any other"):
        _ = task(tmp_path, tiny_llama, "data.examples=text").train


def test_a_start_token_that_is_the_end_token_stays_in_front(tmp_path, tiny_llama):
    directory = changed(tiny_llama, tmp_path / "model", bos_token="<end>")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer._tokenizer.post_processor = TemplateProcessing(single="<end> $A", special_tokens=[("<end>", 1)])
    tokenizer.save_pretrained(directory)
    write(tmp_path, pairs())
    item = task(tmp_path, directory, "data.examples=prompt-completion").train[0]
    assert tokenizer.decode(item.numbers) == "<end> what is the cat red <end>"
    assert item.given == 5


# Bad input


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ("hello", r"line 1: 'messages' holds 'hello', expected a list"),
        ([{"content": "cat"}, {"role": "assistant", "content": "red"}], r"message 0 of 'messages' has no 'role'"),
        ([{"role": "user", "content": None}], r"message 0 of 'messages' has no 'content' with a text"),
        ([{"role": "user", "content": "cat"}], "ends with the assistant's answer to somebody, got the roles user"),
        ([{"role": "assistant", "content": "cat"}], "got the roles assistant"),
        ([], "got the roles nothing"),
    ],
)
def test_what_is_no_conversation_is_refused(tmp_path, tiny_llama, messages, said):
    write(tmp_path, [{"messages": messages}])
    with pytest.raises(InputError, match=said):
        task(tmp_path, tiny_llama).fetch()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.examples=text"], "there is no key 'text', it holds prompt, completion; data.examples says"),
        (["data.examples=prompt-completion", "model.max_length=4"], r"line 1: what is given takes 4 tokens and leaves"),
        (["data.examples=text", "data.text_column=prompt", "metric=f1"], "plain text has none: choose token_accuracy"),
        (["data.examples=prompt-completion", "model.packing=true"], "packing puts plain texts together"),
        (["data.examples=prompt-completion", "model.max_length=65"], "must be at most 64 tokens"),
        (["model.lora={init_lora_weights: pissa}"], "'pissa' changes the weights that the adapters are beside"),
        (["model.lora={rank: 8}"], "PEFT's LoraConfig has no 'rank'"),
        (["model.lora={r: 8, bias: odd, use_dora: 3, layers_pattern: x}"], "PEFT takes no"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(tmp_path, tiny_llama, overrides, said):
    write(tmp_path, pairs())
    with pytest.raises(InputError, match=said):
        task(tmp_path, tiny_llama, *overrides).fetch()


def test_adapters_for_modules_that_are_not_there_are_refused(tmp_path, tiny_llama):
    write(tmp_path, pairs())
    asked = recipe(
        tmp_path,
        tiny_llama,
        "data.examples=prompt-completion",
        "model.lora={target_modules: [wi]}",
        "search.detector=fixed-time",
        f"output={tmp_path / 'run'}",
    )
    with pytest.raises(InputError, match=r"model\.lora: PEFT cannot put it on LlamaForCausalLM.*wi"):
        dict(run_stages(Job.begin(asked)))


def changed(tiny_llama, directory, **settings):
    """The tiny model with other settings of its tokenizer."""
    shutil.copytree(tiny_llama, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    for name, value in settings.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(directory)
    if settings.get("chat_template", "") is None:
        (directory / "chat_template.jinja").unlink()
    return directory


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"eos_token": None}, "has no end token"),
        ({"chat_template": None}, "a tokenizer without one takes data.examples=prompt-completion"),
        (
            {"chat_template": "{{ messages|length }} {{ messages[0]['content'] }}"},
            "writes the conversation differently",
        ),
        ({"chat_template": "{{ raise_exception('no system here') }}"}, "cannot write it .*no system here"),
    ],
)
def test_a_tokenizer_that_cannot_serve_is_refused(tmp_path, tiny_llama, settings, said):
    write(tmp_path, chats(1))
    directory = changed(tiny_llama, tmp_path / "model", **settings)
    with pytest.raises(InputError, match=said):
        task(tmp_path, directory).fetch()


def test_an_answer_needs_a_prompt_and_positions_for_what_is_written(tmp_path, tiny_llama):
    write(tmp_path, [{"prompt": "", "completion": "red"}])
    asked = ["data.examples=prompt-completion", "metric=f1"]
    with pytest.raises(InputError, match="1 of 1 evaluation examples have no prompt"):
        task(tmp_path, tiny_llama, *asked).fetch()
    write(tmp_path, pairs())
    config = GPT2Config(vocab_size=60, n_embd=32, n_layer=1, n_head=4, n_positions=24, bos_token_id=1, eos_token_id=1)
    directory = shutil.copytree(tiny_llama, tmp_path / "gpt2")
    GPT2LMHeadModel(config).save_pretrained(directory)
    with pytest.raises(InputError, match=r"max_new_tokens must be at most 20 .* end at 24, behind a prompt of 4"):
        task(tmp_path, directory, *asked, "generation.max_new_tokens=21").fetch()


def test_an_encoder_is_no_decoder(tmp_path, tiny_llama):
    write(tmp_path, pairs())
    directory = shutil.copytree(tiny_llama, tmp_path / "bert")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    BertLMHeadModel(BertConfig(vocab_size=60, **sizes)).save_pretrained(directory)
    with pytest.raises(InputError, match="is no decoder: what BertLMHeadModel says of a token depends on those behind"):
        task(tmp_path, directory, "data.examples=prompt-completion").fetch()


@pytest.mark.parametrize("lora", ["{r: 4, use_dora: true}", "{r: 4, inference_mode: true}"])
def test_adapters_that_cannot_be_searched_are_refused_before_anything_trains(tmp_path, tiny_llama, lora):
    write(tmp_path, pairs())
    wanted = ["data.examples=prompt-completion", f"model.lora={lora}", "search.detector=fixed-time"]
    job = Job.begin(recipe(tmp_path, tiny_llama, *wanted, f"output={tmp_path / 'run'}"))
    with pytest.raises(InputError):
        dict(run_stages(job))
    assert not job.files.dense.exists()


def test_weights_that_are_missing_are_named(tmp_path, tiny_llama):
    write(tmp_path, pairs())
    directory = shutil.copytree(tiny_llama, tmp_path / "model")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(InputError, match=r"do not fit its config: .*layers\.2"):
        task(tmp_path, directory, "data.examples=prompt-completion").fetch()

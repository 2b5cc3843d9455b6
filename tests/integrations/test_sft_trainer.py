"""The search inside TRL's SFTTrainer, which computes the loss without logits by a forward pass of its own."""

from __future__ import annotations

import math

import pytest
import torch
from datasets import Dataset
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from tiny_chat import conversations, llama, questions, tokenizer
from transformers import AutoModelForCausalLM, Trainer, set_seed
from trl import SFTConfig, SFTTrainer

import earlybird as eb
from earlybird.integrations.hf_trainer import EarlyBirdCallback, train_early_bird

STEPS = 20
SETTINGS = {"heads": 0.5, "neurons": 0.5, "detector": "fixed-time", "threshold": 0.3, "compensation": 4}
LORA = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
# What the trainer is given, and its settings.
MODES = {
    "conversations": ([{"messages": each} for each in conversations()], {}),
    "completions": ([{"prompt": each[:-1], "completion": each[-1:]} for each in conversations()], {}),
    "packed": ([{"text": f"{question} {answer}"} for question, answer in questions()], {"packing": True}),
    "unpadded": ([{"messages": each} for each in conversations()], {"padding_free": True, "max_length": None}),
    "as trl has it": (
        [{"messages": each} for each in conversations()],
        {"bf16": True, "gradient_checkpointing": True, "gradient_accumulation_steps": 2},
    ),
}


def trainer_for(directory, mode="conversations", adapter=None):
    rows, settings = MODES[mode]
    arguments = {"bf16": False, "gradient_checkpointing": False, "max_length": 32, **settings}
    return SFTTrainer(
        llama(),
        SFTConfig(
            str(directory),
            max_steps=STEPS,
            per_device_train_batch_size=8,
            learning_rate=1e-2,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            **arguments,
        ),
        train_dataset=Dataset.from_list(rows * 4),
        eval_dataset=Dataset.from_list(rows[:8]),
        processing_class=tokenizer(),
        peft_config=adapter,
    )


def continued(trainer):
    return train_early_bird(trainer, eb.SearchConfig(**SETTINGS), weights="continue")


def rewound(trainer):
    return train_early_bird(trainer, eb.SearchConfig(**SETTINGS), weights="rewind")


def called_back(trainer):
    callback = EarlyBirdCallback(trainer, eb.SearchConfig(**SETTINGS), then="continue")
    trainer.add_callback(callback)
    trainer.train()
    return callback.ticket


WAYS = [continued, rewound, called_back]


@pytest.mark.parametrize("adapter", [None, LORA], ids=["whole", "lora"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", [continued, *(pytest.param(way, marks=pytest.mark.thorough) for way in WAYS[1:])])
def test_what_comes_out_is_small_refitted_saved_and_loaded(way, mode, adapter, tmp_path, caplog):
    trainer = trainer_for(tmp_path / "run", mode, adapter)
    ticket = way(trainer)
    assert ticket.provenance["draw_step"] == 5
    assert eb.Anatomy.of(trainer.model).units["heads"] == ticket.kept("heads")
    assert "without compensation" not in caplog.text
    assert math.isfinite(trainer.evaluate()["eval_loss"])

    small = trainer.model if adapter is None else trainer.model.merge_and_unload()
    eb.save(small, tmp_path / "small", ticket=ticket, processor=trainer.processing_class)
    prompt = trainer.processing_class("<user> what is one plus two <end> <assistant>", return_tensors="pt")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "small")
    with torch.no_grad():
        logits = trainer.accelerator.unwrap_model(small, keep_fp32_wrapper=False).eval()(prompt.input_ids).logits
        assert torch.equal(again(prompt.input_ids).logits, logits)
    assert again.generate(prompt.input_ids, max_new_tokens=2, do_sample=False).shape[1] > prompt.input_ids.shape[1]


@pytest.mark.parametrize("adapter", [None, LORA], ids=["whole", "lora"])
@pytest.mark.parametrize("mode", ["completions", "packed"])
def test_the_scores_are_those_of_a_plain_trainer(mode, adapter, tmp_path):
    config = eb.SearchConfig(**SETTINGS | {"threshold": 0.9, "score": "gradient"})
    seen, masks = [], []
    for place in ("sft", "plain"):
        trainer = trainer_for(tmp_path / place, mode, adapter)
        if place == "plain":
            model = llama()
            set_seed(trainer.args.seed)
            model = model if adapter is None else get_peft_model(model, adapter)
            # Of packed texts their lengths, which are no argument of the model.
            trainer.args.remove_unused_columns = False
            trainer = Trainer(
                model, trainer.args, train_dataset=trainer.train_dataset, data_collator=trainer.data_collator
            )
        callback = EarlyBirdCallback(trainer, config)
        trainer.add_callback(callback)
        trainer.train()
        trajectory = eb.Trajectory.open(tmp_path / place / "trajectory")
        seen.append({kind: trajectory.evidence(kind, "gradient") for kind in ("heads", "neurons")})
        masks.append(callback.ticket.masks)
    for kind, one in seen[0].items():
        # Later ones differ by what rounding makes of a training.
        assert abs(one[:4] - seen[1][kind][:4]).max() < 1e-4 * abs(one[:4]).max()
        assert (masks[0][kind] != masks[1][kind]).mean() < 0.05


@pytest.mark.parametrize("adapter", [None, LORA], ids=["whole", "lora"])
def test_the_default_leaves_half_of_the_flops(adapter, tmp_path):
    trainer = trainer_for(tmp_path, "conversations", adapter)
    ticket = train_early_bird(trainer)
    assert ticket.provenance["config"]["flops"] == 0.5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (LoraConfig(r=4, target_modules="all-linear", use_dora=True), r"only plain LoRA .*merge_and_unload"),
        (
            IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=[]),
            r"only plain LoRA .*merge_and_unload",
        ),
        (PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2), r"get_base_model\(\)"),
        (
            LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["down_proj"]),
            r"has no neurons to search .* give a ratio for the other kinds alone",
        ),
    ],
    ids=["dora", "ia3", "prompts", "copied modules"],
)
def test_what_cannot_be_cut_is_refused_before_the_first_step(way, adapter, message, tmp_path):
    trainer = trainer_for(tmp_path, "conversations", adapter)
    with pytest.raises(eb.InputError, match=message):
        way(trainer)
    assert trainer.state.global_step == 0

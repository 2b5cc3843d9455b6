"""The search inside the Hugging Face Trainer, with what else a Trainer does."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_bert import tiny_bert
from transformers import Trainer, TrainingArguments

import earlybird as eb
from earlybird.integrations.hf_trainer import EarlyBirdCallback

SETTINGS = {"heads": 0.5, "neurons": 0.5, "detector": "half-time-capture"}


def trainer_for(directory, model, *, steps=24, **others):
    generator = torch.Generator().manual_seed(0)
    examples = [
        {"input_ids": torch.randint(30, (6,), generator=generator), "labels": torch.tensor(i % 4)} for i in range(32)
    ]
    arguments = TrainingArguments(
        str(directory),
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        **{"save_strategy": "no", **others},
    )
    return Trainer(model, arguments, train_dataset=examples, eval_dataset=examples[:8])


def recorded(directory, model, **others):
    """The gradients that a search by gradients saw before it drew, if it did."""
    trainer = trainer_for(directory, model, **others)
    trainer.add_callback(EarlyBirdCallback(trainer, eb.SearchConfig(score="gradient", threshold=0.9999, **SETTINGS)))
    trainer.train()
    trajectory = eb.Trajectory.open(directory / "trajectory")
    return [trajectory.evidence(kind, "gradient") for kind in ("heads", "neurons")]


def test_checkpoints_and_evaluations_leave_no_trace(tmp_path):
    plain = recorded(tmp_path / "plain", tiny_bert())
    often = recorded(
        tmp_path / "often", tiny_bert(), save_strategy="steps", save_steps=4, eval_strategy="steps", eval_steps=3
    )
    for one, other in zip(plain, often, strict=True):
        assert len(one) >= 20
        assert (one == other).all()


@pytest.mark.parametrize(
    "mode",
    [
        {"torch_compile": True, "torch_compile_backend": "eager"},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
        {"gradient_accumulation_steps": 2, "gradient_checkpointing": True},
    ],
)
def test_modes_give_the_gradients_of_a_plain_training(mode, tmp_path):
    accumulation = {key: value for key, value in mode.items() if key == "gradient_accumulation_steps"}
    plain = recorded(tmp_path / "plain", tiny_bert(), **accumulation)
    found = recorded(tmp_path / "found", tiny_bert(), **mode)
    torch.compiler.reset()
    for one, other in zip(plain, found, strict=True):
        # Later ones differ by what rounding makes of a training.
        assert abs(one[:4] - other[:4]).max() < 1e-4 * abs(one[:4]).max()


def test_an_adapter_is_searched_pruned_and_trained_on_by_one_trainer(tmp_path):
    adapted = get_peft_model(
        tiny_bert(), LoraConfig(r=2, target_modules=["query", "value", "dense"], task_type="SEQ_CLS")
    )
    trainer = trainer_for(tmp_path / "run", adapted, steps=60, bf16=True)
    callback = EarlyBirdCallback(trainer, eb.SearchConfig(threshold=0.1, **SETTINGS), then="continue")
    trainer.add_callback(callback)
    trainer.train()
    assert callback.ticket is not None
    assert eb.Anatomy.of(adapted).units == {"heads": (2, 2), "neurons": eb.Anatomy.of(adapted).units["neurons"]}
    inputs = {"input_ids": torch.arange(6)[None]}
    # Accelerate left its autocast around the forward pass.
    adapted = trainer.accelerator.unwrap_model(adapted, keep_fp32_wrapper=False)
    logits = adapted.eval()(**inputs).logits
    trainer.save_model(str(tmp_path / "adapter"))
    eb.save(adapted.unload(), tmp_path / "small")
    again = PeftModel.from_pretrained(eb.load(tmp_path / "small"), tmp_path / "adapter").eval()
    torch.testing.assert_close(again(**inputs).logits, logits, rtol=1e-5, atol=1e-6)

"""A working script of TRL's SFTTrainer; the lines with an arrow are what earlybird adds. `--lora` trains adapters."""

from __future__ import annotations

import sys
import tempfile

from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

from earlybird import SearchConfig, save  # <-
from earlybird.integrations.hf_trainer import train_early_bird  # <-

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
QUESTIONS = {
    1: ["what follows {}", "what is next after {}", "{} is over and what comes", "tell me what comes after {}"],
    -1: ["what precedes {}", "what was there before {}", "{} begins and what is over", "tell me what came before {}"],
}
conversations = [
    {
        "prompt": [{"role": "user", "content": question.format(name)}],
        "completion": [{"role": "assistant", "content": names[(i + step) % len(names)]}],
    }
    for names in (DAYS, MONTHS)
    for i, name in enumerate(names)
    for step, questions in QUESTIONS.items()
    for question in questions
]
words = sorted({word for row in conversations for part in row.values() for word in part[0]["content"].split()})
special = ["<pad>", "<unk>", "<end>", "<user>", "<assistant>"]
vocabulary = {word: number for number, word in enumerate(special + words)}
tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>", eos_token="<end>")
tokenizer.chat_template = (
    "{% for message in messages %}<{{ message.role }}> {{ message.content }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
set_seed(0)
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=32,
        initializer_range=0.1,
        pad_token_id=vocabulary["<pad>"],
        eos_token_id=vocabulary["<end>"],
    )
)

lora = "--lora" in sys.argv
with tempfile.TemporaryDirectory() as directory:
    examples = Dataset.from_list(conversations).train_test_split(test_size=0.2, seed=0)
    trainer = SFTTrainer(
        model,
        SFTConfig(
            directory,
            max_steps=250,
            per_device_train_batch_size=16,
            learning_rate=1e-2 if lora else 2e-3,
            bf16=False,  # or True on a GPU
            logging_steps=100,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=examples["train"],
        eval_dataset=examples["test"],
        processing_class=tokenizer,
        peft_config=LoraConfig(r=32, target_modules="all-linear") if lora else None,
    )
    config = SearchConfig(heads=0.25, neurons=0.4)
    ticket = train_early_bird(trainer, config, weights="continue")  # <- instead of trainer.train()
    print(ticket)
    print(f"held-out accuracy {trainer.evaluate()['eval_mean_token_accuracy']:.1%}")

    small = trainer.model.merge_and_unload() if lora else trainer.model
    save(small, f"{directory}/small", ticket=ticket, processor=tokenizer)  # <- loads again after `import earlybird`

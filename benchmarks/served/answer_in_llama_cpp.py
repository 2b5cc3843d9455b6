"""Greedy tokens of a GGUF file in llama.cpp; `llama_cpp_tokens.py` calls it with the Python that has its binding.

    PYTHON answer_in_llama_cpp.py MODEL.gguf LOGITS.npy

Reads {"prompts": [[token, ...], ...], "tokens": 32, "cache": "f32"} from standard input, and writes
{"tokens": [[token, ...], ...]} to standard output. One thread. The logits of each prompt's last token go to LOGITS.npy
(prompts, vocabulary), float32.
"""

from __future__ import annotations

import itertools
import json
import sys

import llama_cpp
import numpy as np

asked = json.load(sys.stdin)
cache = {"f32": llama_cpp.GGML_TYPE_F32, "f16": llama_cpp.GGML_TYPE_F16}[asked["cache"]]
longest = max(len(prompt) for prompt in asked["prompts"]) + asked["tokens"]
model = llama_cpp.Llama(
    sys.argv[1],
    n_ctx=longest,
    n_batch=longest,
    n_ubatch=longest,
    n_threads=1,
    n_threads_batch=1,
    type_k=cache,
    type_v=cache,
    logits_all=True,
    verbose=False,
)
answers, logits = [], []
for prompt in asked["prompts"]:
    model.reset()
    answers.append(list(itertools.islice(model.generate(prompt, temp=0.0), asked["tokens"])))
    logits.append(model.scores[len(prompt) - 1].copy())
np.save(sys.argv[2], np.stack(logits))
json.dump({"tokens": [[int(token) for token in answer] for answer in answers]}, sys.stdout)

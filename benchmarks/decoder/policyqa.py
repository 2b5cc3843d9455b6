"""PolicyQA's questions about privacy policies as conversations: train.jsonl and test.jsonl for the recipe `causal-lm`.

    python benchmarks/decoder/policyqa.py DIRECTORY_OF_SQUAD_FILES OUTPUT

`policyqa.dev.json` becomes the training split, `policyqa.test.json` the other. Questions whose text is in both are left
out of the training split, and so are, in either, further questions of the same text with the same answer.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SYSTEM = "Answer with words of the policy."


def conversations(path: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Context, and the conversation about it, of every question; its first answer."""
    found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for article in json.loads(path.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                context, answer = paragraph["context"], question["answers"][0]["text"]
                asked = f"{context}\n\n{question['question']}"
                found[context, question["question"], answer] = [
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": asked},
                    {"role": "assistant", "content": answer},
                ]
    return [(context, messages) for (context, _, _), messages in found.items()]


def main(source: Path, output: Path) -> None:
    train, test = (conversations(source / f"policyqa.{split}.json") for split in ("dev", "test"))
    judged = {context for context, _ in test}
    output.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", [row for row in train if row[0] not in judged]), ("test", test)):
        lines = [json.dumps({"messages": messages}) for _, messages in rows]
        (output / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
        print(name, len(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

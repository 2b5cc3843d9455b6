"""Damage of all sorts to the bytes of a file, and to the values of a JSON or YAML one."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "../../../etc/passwd", "/etc/passwd", "\x00", "<script>alert(1)</script>", "{{7*7}}", "%s%n"),
    *("é\ud800", "9" * 5000),
    *([], {}, [[]], [None] * 50, {"": ""}, {"__class__": "os.system"}),
)  # fmt: skip


def mutated_bytes(data: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, cut, doubled, put in or swapped for those of numbers that matter."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if not result:
            break
        place = chance.randrange(len(result))
        length = chance.choice((1, 4, 8, 64, 4096))
        match chance.randrange(6):
            case 0:
                result[place] ^= 1 << chance.randrange(8)
            case 1:
                result[place : place + length] = chance.randbytes(length)
            case 2:
                del result[place : place + length]
            case 3:
                result[place:place] = result[place : place + length]
            case 4:
                del result[place:]
            case _:
                # The length at the head of a safetensors file, and the digits of an .npy header, lie there.
                start = chance.choice((0, place))
                result[start : start + 8] = chance.choice((2**63 - 1, 2**40, 2**31, 0)).to_bytes(8, "little")
    return bytes(result)


def mutated_value(value: Any, chance: random.Random) -> Any:
    """One value somewhere inside replaced by another, taken out, or put under another name."""
    value = copy.deepcopy(value)
    parents = [value] if isinstance(value, (dict, list)) else []
    inside = []
    while parents:
        parent = parents.pop()
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        inside += [(parent, key) for key in keys]
        parents += [parent[key] for key in keys if isinstance(parent[key], (dict, list))]
    if not inside or chance.random() < 0.03:
        return chance.choice(HOSTILE)
    parent, key = chance.choice(inside)
    match chance.randrange(5):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[chance.choice(("x", "", "__proto__", str(key) * 2))] = parent.pop(key)
        case 2 if isinstance(parent[key], int):
            parent[key] = parent[key] * chance.choice((-1, 2, 10**6, 10**12)) + chance.choice((0, 1))
        case _:
            parent[key] = copy.deepcopy(chance.choice(HOSTILE))
    return value


def mutated_json(data: bytes, chance: random.Random) -> bytes:
    """Bytes of JSON with their values or their bytes changed."""
    if chance.random() < 0.3:
        return mutated_bytes(data, chance)
    try:
        return json.dumps(mutated_value(json.loads(data), chance)).encode()
    except (ValueError, RecursionError):
        return mutated_bytes(data, chance)


def mutated_json_lines(data: bytes, chance: random.Random) -> bytes:
    """One of the lines changed as JSON, or the bytes of all."""
    lines = data.splitlines(keepends=True)
    if not lines or chance.random() < 0.3:
        return mutated_bytes(data, chance)
    place = chance.randrange(len(lines))
    lines[place] = mutated_json(lines[place], chance) + b"\n"
    return b"".join(lines)


def mutated_yaml(data: bytes, chance: random.Random) -> bytes:
    """Bytes of YAML with their values or their bytes changed."""
    if chance.random() < 0.4:
        return mutated_bytes(data, chance)
    try:
        return yaml.safe_dump(mutated_value(yaml.safe_load(data), chance)).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError, RecursionError):
        return mutated_bytes(data, chance)


def mutation_for(file: Path) -> Callable[[bytes, random.Random], bytes]:
    """What damages a file of this ending."""
    by_ending = {".json": mutated_json, ".jsonl": mutated_json_lines, ".yaml": mutated_yaml}
    return by_ending.get(file.suffix, mutated_bytes)

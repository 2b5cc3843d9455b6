"""Run all Python of a page, block after block in one namespace: python run_python_of_page.py PAGE."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from surroundings import surroundings

page = Path(sys.argv[1])
blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
namespace = surroundings(Path.cwd())
for code in blocks:
    exec(compile(code, page.name, "exec"), namespace)
print(f"{len(blocks)} blocks ran")

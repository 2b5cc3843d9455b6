"""What a report carries compressed, read back as a browser would."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any


def decompressed(page: str, name: str) -> str:
    found = re.search(rf'<script id="{name}" type="text/plain" data-bytes="(\d+)">([^<]*)</script>', page)
    assert found is not None
    return gzip.decompress(base64.b85decode(found[2].replace(".", "<"))[: int(found[1])]).decode()


def plots(page: str) -> dict[str, Any]:
    """The plots of a page, by name, as Plotly gets them."""
    specs: dict[str, Any] = json.loads(decompressed(page, "plots"))
    return specs

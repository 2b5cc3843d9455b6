"""Text that the page carries compressed, and the function by which its script reads it again."""

from __future__ import annotations

import base64
import gzip

from earlybird.report.page.markup import Markup, element

# Those of base64.b85encode, which needs a sixteenth less room than base64; no "<" ends or opens anything in a script.
_FORMER, _INSTEAD = "<", "."
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~".replace(
    _FORMER, _INSTEAD
)

DECOMPRESS = (
    f"const DIGITS = {_DIGITS!r};"
    """
  async function decompressed(name) {
    const place = document.getElementById(name);
    const text = place.textContent;
    const values = new Uint8Array(128);
    [...DIGITS].forEach((digit, value) => { values[digit.charCodeAt(0)] = value; });
    const words = new DataView(new ArrayBuffer(text.length / 5 * 4));
    for (let at = 0; at < text.length; at += 5) {
      let word = 0;
      for (let next = at; next < at + 5; next++) word = word * 85 + values[text.charCodeAt(next)];
      words.setUint32(at / 5 * 4, word);
    }
    const whole = new Blob([new Uint8Array(words.buffer, 0, Number(place.dataset.bytes))]);
    return new Response(whole.stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }
"""
)


def compressed(name: str, text: str) -> Markup:
    """A script element that runs nothing: `text` by gzip, five characters for four bytes, padded to whole words."""
    data = gzip.compress(text.encode(), mtime=0)
    digits = base64.b85encode(data, pad=True).decode().replace(_FORMER, _INSTEAD)
    return element("script", Markup(digits), id=name, type="text/plain", data_bytes=len(data))

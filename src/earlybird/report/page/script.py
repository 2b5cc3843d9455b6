"""The page's script: draws the plots in the colours of the reader's mode, and lets the keyboard read them."""

from __future__ import annotations

from earlybird.report.page.compressed import DECOMPRESS

# First of all, so that nothing jumps: a browser that can draw the plots shows their places.
PREPARE = 'if ("DecompressionStream" in window) document.documentElement.classList.remove("plotless");'

SCRIPT = (
    f"""
(async () => {{
  "use strict";
  {DECOMPRESS}
  if (!("DecompressionStream" in window)) return;
  const plotly = document.createElement("script");
  plotly.textContent = await decompressed("plotly");
  document.head.append(plotly);
  const specs = JSON.parse(await decompressed("plots"));
"""
    + """
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const config = { responsive: true, displayModeBar: false };

  // "var(--heads)" -> what the style sheet says now; also a fresh copy, since plotly changes what it is given.
  function coloured(value, style) {
    if (typeof value === "string") {
      return value.startsWith("var(--") ? style.getPropertyValue(value.slice(4, -1)).trim() : value;
    }
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
    }
    return value;
  }

  // What a trace shows at one step of a slider.
  function stepped(spec, index) {
    const step = spec.steps[spec.at];
    if (step.x) return { x: step.x[index] };
    if (step.moved) return step.moved[index];
    const cells = (here, elsewhere) =>
      step.cells.map((row) => [...row].map((digit) => (digit === String(index) ? here : elsewhere)));
    return { z: cells(1, null), text: cells(spec.signs[index], "") };
  }

  function draw(name) {
    const place = document.getElementById(name);
    const spec = specs[name];
    const style = getComputedStyle(document.documentElement);
    const layout = coloured(spec.layout, style);
    // Where a finger scrolls the page, a drag must not zoom the plot.
    layout.dragmode = touch ? false : "zoom";
    const data = coloured(spec.data, style);
    if (spec.steps) data.forEach((trace, index) => Object.assign(trace, stepped(spec, index)));
    if (spec.shown) data.forEach((trace, index) => { trace.visible = spec.shown.includes(index); });
    return Plotly.react(place, data, layout, config);
  }

  // Arrow keys move along the steps, ten at a time with Shift; what is there is shown and spoken.
  function keyboard(name) {
    const place = document.getElementById(name);
    const readout = document.getElementById(name + "-readout");
    let at = -1;
    place.addEventListener("keydown", (event) => {
      const chosen = specs[name].shown || (specs[name].choices[0] || {}).traces;
      const traces = specs[name].cursor.map((index) => (chosen ? chosen[index] : index));
      const shown = traces.map((index) => [index, place._fullData[index]]);
      const length = shown[0][1].x.length;
      const stride = Math.max(1, Math.round(length / 100)) * (event.shiftKey ? 10 : 1);
      const moves = { ArrowRight: at + stride, ArrowLeft: at - stride, Home: 0, End: length - 1 };
      if (event.key === "Escape") {
        at = -1;
        readout.textContent = "";
        Plotly.Fx.unhover(place);
      }
      if (!(event.key in moves)) return;
      event.preventDefault();
      at = Math.min(length - 1, Math.max(0, moves[event.key]));
      const step = shown[0][1].x[at];
      const points = shown.map(([index, trace]) => [index, trace, trace.x.indexOf(step)]).filter((p) => p[2] >= 0);
      Plotly.Fx.hover(place, points.map(([index, , number]) => ({ curveNumber: index, pointNumber: number })));
      readout.textContent = "Step " + step + ": " + points.map(([, trace, number]) =>
        trace.name + " " + Number(trace.y[number]).toPrecision(4)).join("; ");
    });
  }

  function slider(name) {
    const range = document.getElementById(name + "-step");
    const label = document.getElementById(name + "-label");
    const move = () => {
      specs[name].at = Number(range.value);
      label.textContent = specs[name].steps[specs[name].at].label;
      range.setAttribute("aria-valuetext", label.textContent);
    };
    range.addEventListener("input", () => { move(); draw(name); });
    move();
  }

  for (const name of Object.keys(specs)) {
    if (specs[name].steps) slider(name);
    draw(name);
    if (specs[name].cursor.length) keyboard(name);
    const pick = document.getElementById(name + "-pick");
    if (pick) pick.addEventListener("change", () => {
      specs[name].shown = specs[name].choices[pick.selectedIndex].traces;
      draw(name);
    });
  }
  dark.addEventListener("change", () => Object.keys(specs).forEach(draw));
})();
"""
)

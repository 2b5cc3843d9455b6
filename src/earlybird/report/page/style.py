"""The page's style sheet; colours come from the palette's variables."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main, footer { max-width: 60rem; margin: 0 auto; padding: 0 1rem; }
h1 {
  font-size: 1.5rem; line-height: 1.3; font-weight: 600; margin: 2rem 0 .5rem;
  text-wrap: pretty; overflow-wrap: anywhere;
}
h2 { font-size: 1.2rem; line-height: 1.3; font-weight: 600; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 2rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.run, .caption, footer { color: var(--muted); }
.run { overflow-wrap: anywhere; }
.missing {
  border-left: 3px solid var(--line); padding: .1rem 0 .1rem .75rem; color: var(--muted); overflow-wrap: anywhere;
}
a { color: var(--link); }
a:focus-visible, summary:focus-visible, select:focus-visible, input:focus-visible, [tabindex]:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px;
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.outcomes table { width: 100%; }
caption { caption-side: bottom; text-align: left; color: var(--muted); font-size: .875rem; padding: .5rem 0; }
caption span { display: inline-block; position: sticky; left: 0; max-width: min(46rem, calc(100vw - 2rem)); }
th, td { padding: .35rem .75rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
thead th { font-weight: 600; vertical-align: bottom; }
th:first-child { text-align: left; }
tbody th { font-weight: 400; color: var(--muted); }
td { white-space: nowrap; }
.change { display: block; color: var(--muted); font-size: .8125rem; line-height: 1.3; }
.chip { display: inline-block; width: .65em; height: .65em; border-radius: 50%; margin-right: .15em; }
.dot.dense { color: var(--dense); }
.dot.ticket { color: var(--ticket); }
.dot.random { color: var(--random); }
.layers { display: flex; flex-wrap: wrap; gap: 0 .75rem; font-size: .875rem; margin: 0 0 .25rem; color: var(--muted); }
@media (pointer: coarse) { .hint { display: none; } }
figure { margin: 0 0 1.5rem; }
.plot { width: 100%; border-radius: 2px; }
.readout { min-height: 1.5em; margin: 0; font-size: .875rem; color: var(--muted); font-variant-numeric: tabular-nums; }
.readout:empty { display: none; }
.pick { display: inline-flex; gap: .5rem; align-items: center; margin: .25rem 0; font-size: .875rem; }
.slide { display: flex; max-width: 100%; flex-wrap: wrap; font-variant-numeric: tabular-nums; }
.slide input { flex: 1 1 12rem; max-width: 30rem; min-height: 2rem; accent-color: var(--link); }
.slide output { flex: 0 1 auto; min-width: min(9rem, 100%); }
select {
  font: inherit; color: inherit; background: var(--surface); border: 1px solid var(--muted); border-radius: 4px;
  padding: .3rem .5rem; min-height: 2rem;
}
details { margin: .25rem 0; font-size: .875rem; }
summary { cursor: pointer; color: var(--link); padding: .25rem 0; width: fit-content; }
pre {
  overflow: auto; max-height: 30rem; background: var(--surface); padding: .75rem 1rem; border-radius: 4px;
  margin: .5rem 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .5rem 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
footer { padding-top: 2rem; padding-bottom: 2rem; font-size: .875rem; }
@media (max-width: 36rem) {
  h1 { font-size: 1.25rem; margin-top: 1rem; }
  th, td { padding: .35rem .4rem; }
  .outcomes table { font-size: .875rem; }
}
.cost svg { display: block; }
.cost .grid { stroke: var(--grid); }
.cost .axis { stroke: var(--muted); }
.cost .error { stroke: currentColor; stroke-width: 2; opacity: .5; }
.cost .disc { fill: currentColor; }
.cost .ring { fill: var(--ground); stroke: currentColor; stroke-width: 2; }
.cost text { font-size: 13px; fill: currentColor; }
.cost .tick { font-size: 12px; fill: var(--muted); }
.cost .name { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; }
@media (max-width: 36rem) { .cost tspan { display: none; } }
.plotless :is(.plot, .readout, .pick, .hint), html:not(.plotless) .instead { display: none; }
@media print { details, .readout, .pick { display: none; } }
"""

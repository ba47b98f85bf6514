"""The style sheet of every report: light and dark, from 320 pixels up, and black on white on paper."""

NARROW, WIDE = 288, 640
"""The widths in pixels at which a picture is drawn; the page shows the one that fits."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --line: #d0d7de;
  --shade: #f3f5f7; --one: #0072b2; --two: #c2530a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9da7b1; --paper: #11151a; --line: #363d46;
  --shade: #1b2128; --one: #56b4e9; --two: #e69f00; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 82rem; margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 1.25rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: 0.75rem 0; overflow-wrap: anywhere; white-space: pre-line; }
p.note { padding-left: 0.75rem; border-left: 3px solid var(--line); color: var(--soft); }
footer { margin-top: 2rem; color: var(--soft); font-size: 0.85rem; }
.scroll { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { background: var(--shade); font-weight: 600; vertical-align: bottom; }
th.words, td.words { text-align: left; }
figure { margin: 1.75rem 0; }
figcaption { max-width: 46rem; margin-bottom: 0.5rem; font-weight: 600; }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; overflow: visible; }
svg text { fill: var(--ink); }
svg .soft { fill: var(--soft); }
svg .one { fill: var(--one); }
svg .two { fill: var(--two); }
svg .track { fill: var(--shade); }
svg .grid { stroke: var(--line); stroke-width: 1; fill: none; }
svg .ink { stroke: var(--ink); stroke-width: 1.5; fill: none; }
svg .curve { stroke: var(--one); stroke-width: 2; fill: none; }
svg .span { stroke: var(--one); stroke-width: 1; stroke-opacity: 0.6; fill: none; }
svg .dashed { stroke-dasharray: 4 3; }
.wide { display: none; }
@media (min-width: 720px) { .wide { display: block; } .narrow { display: none; } }
"""

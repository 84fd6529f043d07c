"""The style sheet of the page that `--html` writes: system fonts, light and dark, nothing from anywhere else."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--card:#f6f7f9;--ink:#1b1f24;--dim:#646c77;--line:#dfe3e8;
--good:#1a7f4b;--bad:#c62828;--event:#8a5a00;--latency:#5b4db8;
--s0:#2f7fc1;--s1:#e0a030;--s2:#2a9d78;--s3:#c2699b;--s4:#6fb7e6;--s5:#8f7a2f;--s6:#7d6bc9;--s7:#9aa3ad}
@media(prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1d2127;--ink:#e7eaee;--dim:#98a1ac;--line:#333a43;
--good:#58c08c;--bad:#ff6b62;--event:#f0b95a;--latency:#a99cf5;
--s0:#4c9fe0;--s1:#e5ad4b;--s2:#45b891;--s3:#d885b3;--s4:#8fcdf3;--s5:#b7a150;--s6:#9c8ce6;--s7:#7f8893}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:66rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:1.35rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:2.2rem 0 .6rem}
p{margin:.3rem 0}
.dim{color:var(--dim)}
.verdict{margin:1rem 0 0;padding:.6rem .9rem;border-left:4px solid var(--dim);background:var(--card)}
.verdict.good{border-color:var(--good)}.verdict.bad{border-color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(7rem,1fr));gap:.7rem;margin:1.2rem 0}
.tile{background:var(--card);border-radius:.5rem;padding:.6rem .9rem}
.tile b{display:block;font-size:1.3rem;font-weight:600}.tile span{color:var(--dim);font-size:.85rem}
.tile.bad b{color:var(--bad)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.4rem 0;font-size:.9rem}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.4rem;vertical-align:-.08rem}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--dim);font-size:12px}
svg .name{fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--paper);stroke-width:5px}
svg .end{text-anchor:end}svg .mid{text-anchor:middle}svg .mid.end{text-anchor:end}
svg .grid{stroke:var(--line);fill:none}
svg .tip{fill:transparent}svg .tip:hover{fill:var(--ink);fill-opacity:.07}
svg .bad{fill:var(--bad)}
svg .band{fill:var(--latency);fill-opacity:.18}
svg .p50{fill:none;stroke:var(--latency);stroke-width:1.6}
svg .p99{fill:none;stroke:var(--latency);stroke-width:1;stroke-opacity:.75}
svg .event path{stroke:var(--event);stroke-width:1.2;stroke-dasharray:4 3}
svg .event.client path{stroke:var(--dim);stroke-dasharray:1 3}
svg .event text{fill:var(--event);font-weight:700;text-anchor:middle}svg .event.client text{fill:var(--dim)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:500;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
td.mark,th.mark{width:1.6rem}td.at,th.at{width:6rem;text-align:right;white-space:nowrap}
td.mark{font-weight:700;color:var(--event)}tr.client td{color:var(--dim)}tr.client td.mark{color:var(--dim)}
td.bad{color:var(--bad);font-weight:600}
""" + "".join(f"svg .s{n}{{fill:var(--s{n})}}.legend .s{n}{{background:var(--s{n})}}" for n in range(8))

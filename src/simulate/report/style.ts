/**
 * How the page looks, on a light and a dark ground, from a narrow screen to a wide one. Pure.
 */
import { colourProperties, seriesRules } from './series.ts';

const light = `--ground:#ffffff;--raised:#f6f7f9;--text:#1b1f24;--dim:#59616b;--line:#d5d9df;--grid:#e8ebef;--focus:#0a5fc4;--ahead:#2f81d7;--behind:#e07b39;${colourProperties('light')};color-scheme:light`;
const dark = `--ground:#0e1116;--raised:#171b22;--text:#e8ebef;--dim:#9aa3ad;--line:#343b45;--grid:#232932;--focus:#6db3ff;--ahead:#3f8ee0;--behind:#d9743a;${colourProperties('dark')};color-scheme:dark`;

const layout = `
*{box-sizing:border-box}
html{scroll-padding-top:5rem}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
.wrap{max-width:1320px;margin:0 auto;padding-inline:20px}
header{display:flex;gap:16px;align-items:flex-start;justify-content:space-between;padding-top:28px}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:1.15rem;margin:40px 0 10px}
h3{font-size:.85rem;font-weight:500;color:var(--dim);margin:0}
p{margin:0 0 10px}
code{font:.93em ui-monospace,SFMono-Regular,Menlo,monospace}
small{font-size:.82em;font-weight:400;color:var(--dim)}
.sub,.note,.empty,caption{color:var(--dim)}
.note{font-size:.82rem;margin:6px 0 0}
a{color:inherit;text-decoration-color:var(--dim);text-underline-offset:3px}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px}
button{font:inherit;color:inherit;background:none;border:1px solid var(--line);border-radius:7px;cursor:pointer}
#theme{padding:5px 12px;white-space:nowrap}
[hidden]{display:none!important}
`;

const parts = `
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(240px,1fr));gap:12px;margin:20px 0 0}
.tile{background:var(--raised);border-radius:10px;padding:14px 16px;font-size:.88rem;color:var(--dim)}
.tile p{margin:2px 0;color:var(--text)}
.tile strong{font-size:1.75rem;font-weight:600;letter-spacing:-.02em;margin-right:4px}
.bar-of-switches{position:sticky;top:0;z-index:2;background:var(--ground);border-bottom:1px solid var(--line);margin:18px 0 0}
.legend{max-width:1320px;margin:0 auto;padding:8px 20px;display:flex;flex-wrap:wrap;gap:6px}
.switch{display:inline-flex;align-items:center;gap:6px;padding:2px 9px 2px 6px;font-size:.84rem;white-space:nowrap}
.switch[aria-pressed=false]{color:var(--dim);text-decoration:line-through;border-style:dashed}
.switch[aria-pressed=false] .swatch{opacity:.25}
.switch.plain{padding:2px 9px;color:var(--dim)}
.switch:hover{background:var(--raised)}
.swatch{width:26px;height:12px;flex:none;vertical-align:middle;overflow:visible}
.grid-of-charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:18px 22px}
.grid-of-charts.overview{margin-top:16px}
.grid-of-charts.three{grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr))}
.chart{margin:0;min-width:0;border:1px solid var(--line);border-radius:10px;
padding:12px 14px;container-type:inline-size}
.chart figcaption{font-weight:600;font-size:.9rem;margin-bottom:6px}.chart figcaption small{display:block}
.plot{overflow:hidden}
.plot svg{display:block;width:128.26%;height:auto}
.plot .name,.plot .lead{display:none}
@container (min-width:520px){.plot svg{width:100%}.plot .name,.plot .lead{display:inline}}
.plot text{font-size:12px;fill:var(--dim);paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}
.plot .name{fill:var(--c);font-weight:600;font-size:11.5px}
.end{text-anchor:end}.middle{text-anchor:middle}
.grid,.axis,.level,.guide,.lead,.whisker,.line,.event{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--grid)}.axis{stroke:var(--line)}
.level{stroke:var(--dim);stroke-dasharray:5 4}
.event{stroke:var(--text);stroke-dasharray:3 2}
.guide{stroke:var(--text);stroke-opacity:.45}
.lead{stroke:var(--c);stroke-opacity:.35}
.line{stroke:var(--c);stroke-width:1.7;stroke-dasharray:var(--dash);stroke-linejoin:round}
.whisker{stroke:var(--c);stroke-width:1.5;stroke-opacity:.6}
.mark{fill:var(--c);stroke:var(--c);stroke-width:1.4}
.s0 .line{stroke-width:3}
.series{transition:opacity .12s}
.chart ul{list-style:none;margin:0;padding:0}
.bars ul,.strips ul{display:grid;
grid-template-columns:minmax(0,max-content) minmax(60px,1fr) auto;column-gap:10px}
.bar,.strip{display:grid;grid-column:1/-1;grid-template-columns:subgrid;align-items:center;font-size:.84rem;padding:2px 0}
.who{display:flex;gap:6px;align-items:center;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.figure{min-width:3.2em;text-align:right}
.bar .track{position:relative;height:14px;background:var(--raised);border-radius:3px}
.bar i{position:absolute;top:0;bottom:0;left:0}
.bar .fill{background:var(--c);border-radius:3px}
.bar .range{top:5px;bottom:5px;border:1px solid var(--text);border-width:0 1px;
background:linear-gradient(var(--text),var(--text)) center/100% 1px no-repeat}
.bar .mark-level{top:-2px;bottom:-2px;width:0;border-left:2px dashed var(--text)}
.strip>svg{display:block;width:100%;height:26px;background:var(--raised);border-radius:3px}
.area{fill:var(--c)}
.axis-note{display:flex;justify-content:space-between;gap:10px}.axis-note span:not(:nth-child(2)){white-space:nowrap}.axis-note :nth-child(2){text-align:center}
@container (max-width:430px){.bar,.strip{font-size:.8rem}}
details.setting{border:1px solid var(--line);border-radius:12px;margin:0 0 14px;padding:0 16px}
details.setting>summary{cursor:pointer;padding:12px 0;font-weight:600}
details.setting>summary small{display:block;font-weight:400}
details.setting[open]{padding-bottom:16px}
details.setting .grid-of-charts{margin-bottom:18px}
.scroll{overflow:auto;max-width:100%;margin:14px 0 0}
table{border-collapse:collapse;font-size:.84rem}
caption{text-align:left;padding:0 0 6px;font-size:.88rem}
caption code{color:var(--text)}
th,td{padding:4px 10px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}
th{font-weight:500;color:var(--dim)}
tbody th{text-align:left;color:var(--text);position:sticky;left:0;background:var(--ground)}
tbody th .swatch{margin-right:7px}
tbody th small{display:block}
thead th:first-child{text-align:left}
.tables{display:flex;flex-wrap:wrap;gap:0 44px}
.tables>.scroll{flex:0 1 auto;min-width:min(100%,420px)}
.tables .heat{width:100%}
.heat td small{display:block;font-size:.76em;line-height:1.2}
.heat td.ahead{background:color-mix(in srgb,var(--ahead) var(--tint),transparent)}
.heat td.behind{background:color-mix(in srgb,var(--behind) var(--tint),transparent)}
.numbers{width:100%}
.numbers td:not(.n){text-align:left}
.numbers thead th{position:sticky;top:0;background:var(--ground);padding:0;box-shadow:inset 0 -1px var(--line)}
.numbers tbody tr:hover{background:var(--raised)}
.sort{border:0;border-radius:0;padding:6px 10px;font-size:.82rem;color:var(--dim);
white-space:nowrap}
[aria-sort=ascending] .sort::after{content:" ↑"}
[aria-sort=descending] .sort::after{content:" ↓"}
.scroll:has(.numbers){max-height:80vh;
border:1px solid var(--line);border-radius:10px;margin-top:8px}
.numbers caption{padding:8px 10px}
.filter{font-size:.84rem;color:var(--dim)}
.filter input{font:inherit;color:var(--text);background:var(--ground);border:1px solid var(--line);border-radius:7px;padding:3px 9px;margin-left:6px;max-width:60vw}
pre{font:.82rem/1.6 ui-monospace,SFMono-Regular,Menlo,monospace;background:var(--raised);border-radius:10px;padding:12px 14px;white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 40px}
#tip{position:fixed;z-index:3;pointer-events:none;background:var(--ground);border:1px solid var(--line);border-radius:8px;padding:7px 10px;font-size:.8rem;line-height:1.45;box-shadow:0 4px 18px rgb(0 0 0/.18);max-width:min(340px,92vw)}
#tip div{display:grid;grid-template-columns:26px 1fr auto;gap:7px;align-items:center}
#tip div span:last-child{text-align:right;padding-left:10px}
@media (max-width:640px){
.wrap{padding-inline:12px}header{padding-top:18px}
h1{font-size:1.3rem}
.legend{flex-wrap:nowrap;overflow-x:auto;padding:8px 12px}
details.setting{padding:0 10px}
tbody th{position:static;white-space:normal;min-width:150px}
.chart{padding:10px}
}
@media (prefers-reduced-motion:reduce){.series{transition:none}}
@media print{.bar-of-switches{position:static}#theme,.filter{display:none}}
`;

export function styleSheet(seriesCount: number): string {
  return `:root{${light}}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){${dark}}}
:root[data-theme=dark]{${dark}}
${layout}${parts}${seriesRules(seriesCount)}
`;
}

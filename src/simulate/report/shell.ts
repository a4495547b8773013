/**
 * A page that needs nothing else: head, style, legend and script around what it shows. Pure.
 */
import { Html, html } from './html.ts';
import { script } from './script.ts';
import { legend, type Series } from './series.ts';
import { styleSheet } from './style.ts';

/** Nothing may be loaded, nothing sent; style and script are those in the page. */
const policyOfPage =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

export interface Shell {
  readonly title: string;
  /** In the window's title, after that of the page. */
  readonly origin: string;
  readonly subtitle: string | Html;
  readonly series: readonly Series[];
  /** Above the legend, and below it. */
  readonly top: Html;
  readonly rest: Html;
  /** Rules of this page's own. */
  readonly style: string;
}

export function shellOf({ title, origin, subtitle, series, top, rest, style }: Shell): string {
  const sheet = new Html(`<style>${styleSheet(series.length)}${style}</style>`);
  const { text } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="content-security-policy" content="${policyOfPage}">
<link rel="icon" href="data:,">
<title>${title} – ${origin}</title>
${sheet}
</head>
<body>
<header class="wrap">
<div><h1>${title}</h1><p class="sub">${subtitle}</p></div>
<button type="button" id="theme" hidden>light / dark</button>
</header>
<main>
<div class="wrap">${top}</div>
<div class="bar-of-switches">${legend(series)}</div>
<div class="wrap">
${rest}
</div>
</main>
<div id="tip" role="status" hidden></div>
<script type="module">${new Html(script)}</script>
</body>
</html>
`;
  return text;
}

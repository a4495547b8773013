/**
 * What the page does by itself: theme, switches of policies, figures under the pointer or the arrow
 * keys, sorting and filtering. Text of a module; it puts text into the page as text only.
 */
export const script = `
const root = document.documentElement;
const all = (selector, within) => [...(within ?? document).querySelectorAll(selector)];

const theme = document.getElementById('theme');
const isDark = () => root.dataset.theme
  ? root.dataset.theme === 'dark'
  : matchMedia('(prefers-color-scheme: dark)').matches;
theme.hidden = false;
theme.addEventListener('click', () => { root.dataset.theme = isDark() ? 'light' : 'dark'; });

const switches = all('[data-switch]');
const single = switches.filter((one) => Number.isInteger(Number(one.dataset.switch)));
const show = (one, isOn) => {
  one.setAttribute('aria-pressed', String(isOn));
  document.body.classList.toggle('off' + one.dataset.switch, !isOn);
};
for (const one of switches) {
  one.addEventListener('click', () => {
    if (single.includes(one)) show(one, one.getAttribute('aria-pressed') !== 'true');
    else for (const other of single) show(other, one.dataset.switch === 'all');
  });
}
const front = (one, isOn) => {
  if (single.includes(one)) document.body.classList.toggle('front' + one.dataset.switch, isOn);
};
for (const one of single) {
  one.addEventListener('pointerenter', () => front(one, true));
  one.addEventListener('pointerleave', () => front(one, false));
}

const tip = document.getElementById('tip');
const isShown = (element) => getComputedStyle(element).display !== 'none';
const fill = (head, lines) => {
  tip.replaceChildren();
  const title = document.createElement('b');
  title.textContent = head;
  tip.append(title);
  for (const { swatch, name, text } of lines) {
    const row = document.createElement('div');
    const label = document.createElement('span');
    const figure = document.createElement('span');
    label.textContent = name;
    figure.textContent = text;
    if (swatch) row.append(swatch.cloneNode(true));
    row.append(label, figure);
    tip.append(row);
  }
  tip.hidden = false;
};
const put = (x, y) => {
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 16 + width > innerWidth ? x - width - 16 : x + 16;
  tip.style.left = Math.max(4, Math.min(left, innerWidth - width - 4)) + 'px';
  tip.style.top = Math.max(4, Math.min(y - height / 2, innerHeight - height - 4)) + 'px';
};
const swatchOf = (index) => document.querySelector('[data-switch="' + index + '"] svg');

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/*
 * Reads the figures of a chart at one of its places: the one under the pointer, or the next one by
 * arrow key. read(place, y) shows them; y is that of the pointer, if there is one.
 */
const follow = (chart, { area, measured, places, placeAt, read, onLeave }) => {
  let at = places - 1;
  const go = (place, y) => {
    at = Math.max(0, Math.min(places - 1, place));
    read(at, y);
  };
  const leave = () => {
    tip.hidden = true;
    onLeave();
  };
  area.addEventListener('pointermove', (event) => {
    const box = measured.getBoundingClientRect();
    if (box.width > 0) go(placeAt((event.clientX - box.left) / box.width), event.clientY);
  });
  area.addEventListener('pointerleave', leave);
  chart.addEventListener('focus', () => {
    if (chart.matches(':focus-visible')) go(at);
  });
  chart.addEventListener('blur', leave);
  const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -places, End: places };
  chart.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') leave();
    if (!(event.key in steps)) return;
    event.preventDefault();
    go(at + steps[event.key]);
  });
};

// Lines: the places are the rates.
for (const chart of all('figure[data-x]')) {
  const svg = chart.querySelector('svg');
  const guide = chart.querySelector('.guide');
  const width = svg.viewBox.baseVal.width;
  const xs = chart.dataset.x.split(' ').map(Number);
  const heads = chart.dataset.heads.split('|');
  const side = chart.dataset.less === '1' ? 1 : -1;
  const sizeOf = ({ text }) => {
    const value = parseFloat(text);
    return Number.isNaN(value) ? Infinity : side * value;
  };
  const read = (at, y) => {
    const lines = all('g[data-s]', chart).filter(isShown).map((line) => ({
      swatch: swatchOf(line.dataset.s),
      name: line.dataset.name,
      text: line.dataset.texts.split('|')[at],
    }));
    fill(heads[at], lines.sort((a, b) => compare(sizeOf(a), sizeOf(b))));
    guide.setAttribute('visibility', 'visible');
    guide.setAttribute('transform', 'translate(' + xs[at] + ' 0)');
    const box = svg.getBoundingClientRect();
    put(box.left + (xs[at] / width) * box.width, y ?? box.top + box.height / 2);
  };
  const placeAt = (share) => {
    const distances = xs.map((x) => Math.abs(x - share * width));
    return distances.indexOf(Math.min(...distances));
  };
  const onLeave = () => guide.setAttribute('visibility', 'hidden');
  follow(chart, { area: svg, measured: svg, places: xs.length, placeAt, read, onLeave });
}

// Strips: the places are the parts of the run.
for (const chart of all('figure[data-parts]')) {
  const area = chart.querySelector('ul');
  const places = Number(chart.dataset.parts);
  const partSeconds = Number(chart.dataset.part);
  // Some strips may be hidden; all have the same ends.
  const ends = () => {
    const shown = all('.strip', chart).find(isShown);
    return (shown?.querySelector(':scope > svg') ?? area).getBoundingClientRect();
  };
  const read = (at, y) => {
    const lines = all('.strip', chart).filter(isShown).map((strip) => {
      const text = strip.dataset.values.split(' ')[at];
      const name = strip.querySelector('.who').textContent;
      return { swatch: swatchOf(strip.dataset.s), name, text: text === '' ? '–' : text };
    });
    fill('at ' + Math.round(at * partSeconds) + ' s', lines);
    const box = ends();
    const list = area.getBoundingClientRect();
    put(box.left + ((at + 0.5) / places) * box.width, y ?? list.top + list.height / 2);
  };
  const measured = { getBoundingClientRect: ends };
  const placeAt = (share) => Math.floor(share * places);
  follow(chart, { area, measured, places, placeAt, read, onLeave: () => undefined });
}

// Not every page has the table of all figures.
const sortable = (table) => {
  const body = table.tBodies[0];
  const heads = all('th', table);
  heads.forEach((head, column) => {
    head.firstElementChild.addEventListener('click', () => {
      const isUp = head.getAttribute('aria-sort') === 'ascending';
      for (const other of heads) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', isUp ? 'descending' : 'ascending');
      const side = isUp ? -1 : 1;
      const keyOf = (row) => {
        const cell = row.cells[column];
        if (cell.dataset.v === undefined) return cell.textContent;
        return cell.dataset.v === '' ? side * Infinity : Number(cell.dataset.v);
      };
      const rows = [...body.rows].map((row) => ({ row, key: keyOf(row) }));
      rows.sort((a, b) => side * compare(a.key, b.key));
      body.append(...rows.map(({ row }) => row));
    });
  });
  document.getElementById('filter').addEventListener('input', (event) => {
    const words = event.target.value.toLowerCase().split(' ').filter((word) => word !== '');
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
};
const table = document.getElementById('numbers');
if (table !== null) sortable(table);

// A link to a setting opens it, and all that it is folded into.
const open = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let at = target; at !== null; at = at.parentElement) {
    if (at instanceof HTMLDetailsElement) at.open = true;
  }
  target?.scrollIntoView();
};
addEventListener('hashchange', open);
open();
`;

/** The results of `routers.mjs` as a table in Markdown, and as a verdict. Pure. */
import { attainedColumns, failedColumns, headOf, rowOf, seconds, share } from './table.mjs';

const columns = [
  ['load', ({ load }) => String(load)],
  ['policy', ({ policy }) => policy],
  ['routers', ({ routers }) => String(routers)],
  ...attainedColumns,
  ['in router P90', ({ queueMs }) => seconds(queueMs.p90)],
  ['in engine P90', ({ engineMs }) => seconds(engineMs.p90)],
  ['in time first', ({ order }) => share(order.inTimeFirst.keptShare)],
  ['cheaper first', ({ order }) => share(order.cheaperFirst.keptShare)],
  ['older first', ({ order }) => share(order.olderFirst.keptShare)],
  ...failedColumns,
];

export const routersHead = () => headOf(columns);
export const routersRow = (cell) => rowOf(columns, cell);

/** Of what one router finds in caches, several together find so much. */
const hitRatioMin = 0.85;
/** What can be in time goes before what is late: of such pairs so many do. */
const inTimeFirstMin = 0.95;

/** `dualmap` with several routers beside one, at every load. */
export function routersVerdicts(cells) {
  const ours = cells.filter(({ policy }) => policy === 'dualmap');
  return ours.flatMap(({ load, routers, hitRatio, order }) => {
    const one = ours.find((cell) => cell.load === load && cell.routers === 1);
    if (routers === 1 || one === undefined) return [];
    const { keptShare } = order.inTimeFirst;
    const hits = { of: 'hits', atLeast: hitRatioMin * one.hitRatio, measured: hitRatio };
    const inTime = { of: 'in time first', atLeast: inTimeFirstMin, measured: keptShare };
    // Where nothing was late nothing is said of it.
    const budgets = keptShare === null ? [hits] : [hits, inTime];
    return budgets.map((budget) => ({ load, routers, ...budget }));
  });
}

export function verdictOf({ load, routers, of, atLeast, measured }) {
  const word = measured >= atLeast ? 'met' : 'missed';
  return `${word}: load ${load}, ${routers} routers, ${of}: ${share(measured)}, at least ${share(atLeast)}`;
}

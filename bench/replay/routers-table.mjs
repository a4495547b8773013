/** The results of `routers.mjs` as a table in Markdown, and as a verdict. Pure. */
import { line, seconds, share } from './table.mjs';

const columns = [
  ['load', ({ load }) => String(load)],
  ['policy', ({ policy }) => policy],
  ['routers', ({ routers }) => String(routers)],
  ['attained', ({ attainment }) => share(attainment)],
  ['simulated', ({ simulated }) => share(simulated.attainment)],
  ['P50', ({ ttftMs }) => seconds(ttftMs.p50)],
  ['P90', ({ ttftMs }) => seconds(ttftMs.p90)],
  ['hits', ({ hitRatio }) => share(hitRatio)],
  ['simulated', ({ simulated }) => share(simulated.hitRatio)],
  ['in router P90', ({ queueMs }) => seconds(queueMs.p90)],
  ['in engine P90', ({ engineMs }) => seconds(engineMs.p90)],
  ['in order', ({ order }) => share(order.keptShare)],
  ['errors', ({ errors }) => String(errors)],
  ['lost', ({ lost }) => String(lost)],
  ['late P99', ({ sendLateMs }) => `${sendLateMs.p99.toFixed(1)} ms`],
];

export const routersHead = () =>
  line(columns.map(([name]) => name)) + line(columns.map(() => '---'));

export function routersRow(cell) {
  const row = line(columns.map(([, of]) => of(cell)));
  return cell.void ? `${row.trimEnd()} VOID: the generator was late\n` : row;
}

/** Of what one router finds in caches, several together find so much. */
const hitRatioMin = 0.85;

/** `dualmap` with several routers beside one, at every load. */
export function routersVerdicts(cells) {
  const ours = cells.filter(({ policy }) => policy === 'dualmap');
  return ours.flatMap(({ load, routers, hitRatio }) => {
    const one = ours.find((cell) => cell.load === load && cell.routers === 1);
    if (routers === 1 || one === undefined) return [];
    return [{ load, routers, atLeast: hitRatioMin * one.hitRatio, measured: hitRatio }];
  });
}

export function verdictOf({ load, routers, atLeast, measured }) {
  const word = measured >= atLeast ? 'met' : 'missed';
  return `${word}: load ${load}: ${routers} routers find ${share(measured)}, at least ${share(atLeast)}`;
}

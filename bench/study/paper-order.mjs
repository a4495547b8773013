/**
 * The plain simulation that the project began with, published as tables: which policies are ahead
 * of which, behind queues in three orders, bound early and late. Its figures, the sweeps that run
 * the same settings here, and whether the order of the policies is the same. Pure.
 */

/** Of all: the linear time is the true one, an engine gets one prompt at a time. */
const plain = 'slo-fraction=1,estimate=linear,prefill-window-tokens=1';

const rule = { name: 'DualMap rule', policy: 'dualmap-paper', set: 'rebalance=off' };
const leastLoaded = { name: 'least loaded', policy: 'least_requests' };
const oneRing = { name: 'one ring', policy: 'consistent_hash' };
const minTtft = { name: 'min-TTFT', policy: 'min_ttft' };
const preble = { name: 'Preble-like', policy: 'preble' };
const latePair = { name: 'late, pair', policy: 'dualmap', set: 'binding-width=pair' };
const lateFleet = { name: 'late, all', policy: 'dualmap', set: 'binding-width=fleet' };

/**
 * Figures are shares in time, in percent, as published; `null`: none was. In the last table they
 * are prompt tokens from caches.
 */
export const orderTables = [
  {
    id: 'orders',
    title: 'Order of the queue, bound on arrival',
    measure: 'attainment',
    columns: [leastLoaded, oneRing, minTtft, preble, rule],
    rows: [
      { trace: 'conversation', qps: 8, order: 'hit', published: [49, 84, 99.7, 99.9, 98] },
      { trace: 'conversation', qps: 10, order: 'fcfs', published: [0, null, 33, 80, 28] },
      { trace: 'conversation', qps: 10, order: 'hit', published: [5, 59, 44, 82, 52] },
      { trace: 'conversation', qps: 10, order: 'deadline', published: [90, null, 93, 96, 93] },
      { trace: 'conversation', qps: 12, order: 'hit', published: [3, null, 13, 21, 16] },
      { trace: 'conversation', qps: 12, order: 'deadline', published: [85, null, 91, 92, 88] },
    ],
  },
  {
    id: 'binding',
    title: 'Bound early and late, deadline order',
    measure: 'attainment',
    columns: [rule, minTtft, preble, latePair, lateFleet],
    rows: [
      { trace: 'conversation', qps: 9, published: [96.5, 96.8, 98.6, 96.8, 98.7] },
      { trace: 'conversation', qps: 10, published: [92.6, 93.3, 96.4, 94.8, 96.3] },
      { trace: 'conversation', qps: 12, published: [88.4, 90.7, 92.1, 91.8, 93.6] },
      { trace: 'toolagent', qps: 22, published: [96.1, 97.3, 96.6, 97.1, 98.0] },
      { trace: 'toolagent', qps: 26, published: [94.5, 95.5, 94.6, 95.7, 97.0] },
    ].map((row) => ({ ...row, order: 'deadline' })),
  },
  {
    id: 'replicas',
    title: 'Eight routers that share nothing, deadline order',
    measure: 'hitRatio',
    routers: 8,
    columns: [
      minTtft,
      preble,
      rule,
      { name: 'with home', policy: 'dualmap', set: 'replicas=8,binding-width=pair' },
      oneRing,
    ],
    rows: [{ trace: 'conversation', qps: 7, order: 'deadline', published: [14, 16, 25, 28, 33] }],
  },
];

/** A difference below it is no order. Percentage points. */
const tie = 1;

const nameOf = (table, row, column) =>
  [table.id, row.trace, row.qps, row.order, column.name].join(' ');

/** One sweep for each figure: what is set differs from column to column. */
export function orderSweeps(traces) {
  return orderTables.flatMap((table) =>
    table.rows.flatMap((row) =>
      table.columns
        .filter((_, at) => row.published[at] !== null)
        .map((column) => ({
          name: nameOf(table, row, column),
          trace: traces[row.trace],
          flags: {
            policy: column.policy,
            preset: 'plain-7b',
            queue: 'router',
            qps: String(row.qps),
            routers: String(table.routers ?? 1),
            arrivals: 'raw',
            set: [plain, `queue-order=${row.order}`, ...(column.set ? [column.set] : [])].join(','),
          },
        })),
    ),
  );
}

/** The tables with our figures beside the published ones, in percent; `null`: not run. */
export function orderFindings(rows) {
  const bySweep = new Map(rows.map((row) => [row.sweep, row]));
  return orderTables.map((table) => ({
    ...table,
    rows: table.rows.map((row) => {
      const measured = table.columns.map((column) => {
        const own = bySweep.get(nameOf(table, row, column));
        return own === undefined ? null : 100 * own[table.measure];
      });
      return { ...row, measured, swapped: swapped(table.columns, row.published, measured) };
    }),
  }));
}

/** Pairs of columns whose order is another one here, both distances above a tie. */
export function swapped(columns, published, measured) {
  const pairs = [];
  for (let a = 0; a < columns.length; a++) {
    for (let b = a + 1; b < columns.length; b++) {
      const values = [published[a], published[b], measured[a], measured[b]];
      if (values.includes(null)) continue;
      const theirs = published[a] - published[b];
      const here = measured[a] - measured[b];
      const isSwapped = theirs * here < 0 && Math.min(Math.abs(theirs), Math.abs(here)) > tie;
      if (isSwapped) pairs.push([columns[a].name, columns[b].name]);
    }
  }
  return pairs;
}

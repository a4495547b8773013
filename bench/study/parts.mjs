/**
 * What the study runs: parts, each made of sweeps, and each sweep one call of `dualmap simulate`.
 * Data only. `flags` are the options of that command by their fields; a sweep's `name` stands in
 * every row that came of it.
 */
import { orderSweeps } from './paper-order.mjs';

/** Every baseline. */
export const rivals = [
  'round_robin',
  'random',
  'least_requests',
  'least_tokens',
  'power_of_two',
  'consistent_hash',
  'bounded_hash',
  'min_ttft',
  'preble',
  'cache_aware',
  'dynamo_cost',
  'llmd_default',
  'lmetric',
];
export const ours = ['dualmap', 'dualmap-paper'];
export const policies = [...ours, ...rivals];

/** What the paper compares with: Cache Affinity, Least Loaded, Min-TTFT, Preble. */
export const paperRivals = ['consistent_hash', 'least_tokens', 'min_ttft', 'preble'];

const conversation = { file: 'conversation_trace.jsonl.gz', maxInputTokens: 20_480 };
/** The paper's 14B serves shorter prompts. */
const shortConversation = { ...conversation, maxInputTokens: 10_240 };
const toolagent = { file: 'toolagent_like.SYNTHETIC.jsonl.gz', maxInputTokens: null };
/** The plain simulation's rates fit the saturation of this selection only. */
const shortToolagent = { ...toolagent, maxInputTokens: 20_480 };
const synthetic = { file: 'synthetic_trace.jsonl.gz', maxInputTokens: null };
/** By `shapes.mjs`, for the run. */
const made = ['agent-sessions', 'retrieval', 'completion'].map((name) => {
  return { file: `${name}.SYNTHETIC.jsonl.gz`, maxInputTokens: null, isMade: true };
});

/** Three traces on four engines. */
function everywhere(name, flags) {
  const presets = 'paper-7b,paper-14b,a100-7b,h100-14b';
  return [
    { name, trace: conversation, flags: { ...flags, preset: 'paper-7b,a100-7b,h100-14b' } },
    { name, trace: shortConversation, flags: { ...flags, preset: 'paper-14b' } },
    { name, trace: toolagent, flags: { ...flags, preset: presets } },
    { name, trace: synthetic, flags: { ...flags, preset: presets } },
  ];
}

const loads = '0.5,0.7,0.9,1.0,1.1,1.25,1.4';
const few = [...ours, ...paperRivals, 'llmd_default'].join(',');
const twoPresets = 'paper-7b,a100-7b';

const switches = [
  'queue-order=fcfs',
  'queue-order=hit',
  'binding=early',
  'binding=early,rebalance=on',
  'binding-width=pair',
  'binding-width=pair,key-level=0',
  'cold-claim-price=0',
  'prefill-window-tokens=1',
].join(';');

/** The paper's own ablation, then the queue's order and the engine's room. */
const paperSwitches = [
  'rebalance=off',
  'rebalance=off,slo-fraction=0.01',
  'queue-order=deadline',
  'queue-order=deadline,prefill-window-tokens=4096',
].join(';');

function ablation() {
  const flags = { policy: 'dualmap', preset: twoPresets, load: '0.9,1.1', vary: switches };
  const paper = { policy: 'dualmap-paper', load: '0.7,0.9,1.0,1.1', vary: paperSwitches };
  return [
    { name: 'switches', trace: conversation, flags },
    { name: 'switches', trace: toolagent, flags },
    { name: 'paper', trace: conversation, flags: { ...paper, preset: twoPresets } },
    { name: 'paper', trace: shortConversation, flags: { ...paper, preset: 'paper-14b' } },
  ];
}

/** As many requests for an instance everywhere, as far as the trace has them. */
function fleet(limit) {
  return [8, 16, 24, 32].map((instances) => ({
    name: `${instances} instances`,
    trace: conversation,
    limit: Math.round((limit * instances) / 8),
    flags: { policy: few, queue: 'router', instances: String(instances), load: '0.9,1.1' },
  }));
}

/**
 * Each router sees a part of the requests only, so there are twice as many, of which an eighth
 * warms the caches up. What one router sees of metrics is in the part `view`.
 */
function routers(limit) {
  const policy = 'dualmap,consistent_hash,preble,min_ttft,least_tokens,llmd_default';
  const common = { policy, queue: 'router', preset: twoPresets, load: '0.7,0.9,1.0,1.1' };
  const flags = { ...common, warmup: String(Math.round(limit / 4)) };
  const settings = [1, 2, 4, 8].flatMap((count) =>
    (count === 1 ? ['0'] : ['0', '100']).map((viewDelayMs) => ({
      name: `${count} routers`,
      flags: {
        ...flags,
        routers: String(count),
        viewDelayMs,
        ...(count === 1 ? {} : { set: `replicas=${count}` }),
      },
    })),
  );
  return [conversation, toolagent].flatMap((trace) =>
    settings.map((setting) => ({ ...setting, trace, limit: 2 * limit })),
  );
}

/** Of one router: only how full the memory of an engine is, is read from its metrics. */
function view() {
  const preset = 'a100-7b,h100-14b';
  const flags = { policy: policies.join(','), queue: 'router', preset, load: '0.7,0.9,1.1' };
  const setting = { name: 'view', flags: { ...flags, viewDelayMs: '100' } };
  return [conversation, toolagent].map((trace) => ({ ...setting, trace }));
}

/** What no trace that was tuned on looks like. */
function shapes() {
  const preset = 'paper-7b,a100-7b,h100-14b';
  const flags = { policy: policies.join(','), queue: 'router', preset, load: '0.7,0.9,1.1' };
  return made.map((trace) => ({ name: 'shapes', trace, flags }));
}

/** Half way the fleet doubles; `report` is what asks for the course of a run. */
function elastic() {
  const flags = {
    policy: few,
    preset: twoPresets,
    queue: 'router,auto',
    instances: '4',
    join: '4@0.5',
    load: '1.0,1.3',
    report: 'elastic.html',
  };
  return [conversation, toolagent].map((trace) => ({ name: 'elastic', trace, flags }));
}

/** In the order of running. `sweepsOf` takes the number of requests asked for. */
export const parts = {
  'same-queue': {
    seedsMax: 5,
    sweepsOf: () =>
      everywhere('same queue', { policy: policies.join(','), queue: 'router', load: loads }),
  },
  view: { seedsMax: 3, sweepsOf: view },
  shapes: { seedsMax: 3, sweepsOf: shapes },
  shipped: {
    seedsMax: 3,
    sweepsOf: () =>
      everywhere('shipped', { policy: policies.join(','), queue: 'auto', load: loads }),
  },
  goodput: {
    seedsMax: 3,
    sweepsOf: () =>
      everywhere('goodput', {
        policy: `${few},dynamo_cost,lmetric,bounded_hash`,
        queue: 'auto',
        goodput: true,
      }),
  },
  ablation: { seedsMax: 5, sweepsOf: ablation },
  fleet: { seedsMax: 3, sweepsOf: fleet },
  routers: { seedsMax: 3, sweepsOf: routers },
  elastic: { seedsMax: 3, sweepsOf: elastic },
  'paper-order': {
    seedsMax: 5,
    sweepsOf: () => orderSweeps({ conversation, toolagent: shortToolagent }),
  },
  raw: {
    seedsMax: 3,
    sweepsOf: () => [
      {
        name: 'raw',
        trace: conversation,
        flags: {
          policy: few,
          queue: 'router',
          preset: twoPresets,
          load: '0.7,0.9,1.0,1.1,1.25',
          arrivals: 'raw',
        },
      },
    ],
  },
};

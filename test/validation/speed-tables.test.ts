import { expect, test } from 'vitest';
import { presets } from '../../src/simulate/presets.ts';
import { Run } from '../../src/simulate/scenario.ts';
import { placeBy, rowOf, workloadOf } from '../support/simulate.ts';

/**
 * Rung 3 of the validation ladder: the speeds that Qwen publishes for Qwen2.5 on one A100-80, batch
 * 1, 2,048 output tokens, in tokens a second.
 */

const published = [
  { preset: 'a100-7b', speeds: [84.28, 80.7, 77.69, 70.33] },
  { preset: 'a100-14b', speeds: [46.3, 43.83, 41.91, 37.18] },
] as const;
const inputs = [1, 6_144, 14_336, 30_720];
const outputTokens = 2_048;

test.each(
  published.flatMap(({ preset, speeds }) =>
    speeds.map((speed, at) => ({ preset, speed, inputTokens: inputs[at]! })),
  ),
)('$preset, input $inputTokens: $speed tokens/s within 7 %', ({ preset, speed, inputTokens }) => {
  const ids = Array.from({ length: Math.ceil(inputTokens / 512) }, (_, id) => id);
  const workload = workloadOf([rowOf(0, inputTokens, outputTokens, ids)]);
  const run = new Run(
    workload,
    Float64Array.of(0),
    presets[preset],
    1,
    placeBy(() => 0),
  );
  run.toTheEnd();
  const perSecond = outputTokens / (run.engines[0]!.busyMs / 1000);
  expect(Math.abs(perSecond / speed - 1)).toBeLessThan(0.07);
});

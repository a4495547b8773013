/**
 * The load generator, a process of its own beside the instances: takes one job at a time from the
 * harness and tells when measuring begins and ends, and what came out.
 */
import { type LatencyResult, type Marks, type RateJob, runRate } from './rate.ts';
import { runStreams, type StreamsJob, type StreamsResult } from './streams.ts';

export type Job = RateJob | StreamsJob;
/** `goOn`: the harness has its sample. */
export type ToGenerator = Job | { readonly kind: 'goOn' };
export type FromGenerator =
  | { readonly type: 'measuring' | 'measured' }
  | { readonly type: 'result'; readonly result: LatencyResult | StreamsResult }
  | { readonly type: 'fault'; readonly message: string };

const tell = (message: FromGenerator) => process.send!(message);
let goOn: () => void = () => undefined;

function mark(type: 'measuring' | 'measured'): Promise<void> {
  tell({ type });
  return new Promise((resolve) => {
    goOn = resolve;
  });
}

const marks: Marks = {
  onMeasuring: () => mark('measuring'),
  onMeasured: () => mark('measured'),
};

process.on('message', (message: ToGenerator) => {
  if (message.kind === 'goOn') {
    goOn();
    return;
  }
  const run = message.kind === 'rate' ? runRate(message, marks) : runStreams(message, marks);
  run.then(
    (result) => tell({ type: 'result', result }),
    (error) => tell({ type: 'fault', message: String(error) }),
  );
});
// The harness is gone: nobody reads the result.
process.on('disconnect', () => process.exit());

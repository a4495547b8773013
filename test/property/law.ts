/** Running a law under fast-check, with one seed for a test file that can be given again. */
import fc from 'fast-check';

const seed = Number(process.env.PROPERTY_SEED ?? Date.now() % 2 ** 31);
// Said in advance: a crash inside the addon leaves nobody to say it.
console.info(`PROPERTY_SEED=${seed}`);

// Shrinking a large counterexample may take minutes: it stops in time to be reported.
const lawMsMax = 25_000;

/** Holds for every value, or throws with the smallest value found for which it does not. */
export function holds<T>(values: fc.Arbitrary<T>, predicate: (value: T) => void, runs = 300): void {
  fc.assert(fc.property(values, predicate), {
    seed,
    numRuns: runs,
    interruptAfterTimeLimit: lawMsMax,
    markInterruptAsFailure: true,
  });
}

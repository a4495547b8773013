/**
 * The words of this project that are types. Everything here is a name; nothing here computes.
 */

/** How a request ended. Exactly one per request; the ending alone gives back what was reserved. */
export const endings = [
  'completed',
  'clientGone',
  'failedBeforeFirstToken',
  'failedAfterFirstToken',
  'deadline',
  'shed',
  'drained',
] as const;
export type Ending = (typeof endings)[number];

/** What ends the waiting of a request in the queues of the router, if not an instance. */
export type WaitEnd = 'clientGone' | 'shed' | 'queueTimeout';

/** How a placed request ended, more finely than it is counted. */
export type Ended = Ending | WaitEnd;

/**
 * HTTP header fields as a flat list `[name, value, name, value, ...]`, names in lower case, in the
 * order received. Repeated fields stay repeated.
 */
export type HeaderList = readonly string[];

/** What kind of prompt a request body carries, and so how its prefix key is read. */
export type PromptKind = 'chat' | 'completion' | 'embedding';

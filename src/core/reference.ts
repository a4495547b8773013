/**
 * The twin: a slow, obvious TypeScript reading of native/core/README.md, for tests only. Property
 * tests hold it and the native core together; nothing that serves a request may import it.
 */
export * from './reference-policy.ts';
export * from './reference-prompt.ts';
export * from './reference-rings.ts';

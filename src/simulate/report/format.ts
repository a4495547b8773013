/**
 * Figures as a reader wants them. Pure.
 */

/** Stands where there is no figure. */
export const none = '–';

/** `96.1 %` of 0.961. */
export const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;

/** A difference of shares in percentage points, with its sign: `+1.2`. */
export function points(difference: number): string {
  const text = (100 * difference).toFixed(1);
  if (Number(text) === 0) return '0.0';
  return difference > 0 ? `+${text}` : text.replace('-', '−');
}

/** Milliseconds as seconds: `0.77 s`, `31.5 s`, `120 s`. */
export function seconds(ms: number): string {
  const value = ms / 1000;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} s`;
}

/** As it was given: `5 s`, `0.25 s`. */
export const givenSeconds = (ms: number): string => `${Number((ms / 1000).toPrecision(6))} s`;

/** Too many were lost for there to be such a percentile. */
export const secondsOrLost = (ms: number | null): string => (ms === null ? 'lost' : seconds(ms));

/** `7.56`, `75.6`, `756`. */
export const perSecond = (rate: number): string => rate.toFixed(rate < 10 ? 2 : rate < 100 ? 1 : 0);

/** No more digits than it has: `0.9`, `1.25`. */
export const short = (value: number): string => String(Number(value.toPrecision(3)));

export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** `1 router`, `2 routers`. */
export const counted = (count: number, word: string): string =>
  `${whole(count)} ${word}${count === 1 ? '' : 's'}`;

import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type AnswerLabel, embeddingAnswer, StreamWriter, wholeAnswer } from './answers.ts';
import type { Job } from './engine.ts';
import type { InferenceRequest } from './openai.ts';
import type { Pacemaker } from './pacemaker.ts';
import { blockHashes } from './prefix-cache.ts';

/**
 * Owns the way of one inference request through the engine to its answer, in the thread of the
 * event loop. The engine's work ends with the connection: a job never outlives its client.
 */

export interface InferenceContext {
  readonly pacemaker: Pacemaker;
  readonly model: string;
  readonly blockBytes: number;
  /** A stream breaks after this many events; null: never. */
  readonly resetAfterEvents: number | null;
  /** The client's `x-request-id`, if any: vLLM makes it part of the answer's id. */
  readonly requestId: string | undefined;
}

const idPrefixes = { chat: 'chatcmpl', completion: 'cmpl', embedding: 'embd' } as const;

export function answerInference(
  context: InferenceContext,
  request: InferenceRequest,
  response: ServerResponse,
): void {
  const label: AnswerLabel = {
    id: `${idPrefixes[request.kind]}-${context.requestId ?? randomUUID().replaceAll('-', '')}`,
    model: context.model,
    created: Math.floor(Date.now() / 1_000),
  };
  const listener = request.stream
    ? streamAnswer(context, label, request, response)
    : (job: Job) => {
        if (job.state === 'finished') sendJson(response, 200, finalAnswer(label, request, job));
      };
  const work = {
    promptTokens: request.promptTokens,
    blocks: blockHashes(request.prompt, context.blockBytes, request.cacheSalt),
    outputTokens: request.outputTokens,
  };
  const job = context.pacemaker.submit(work, listener);
  response.once('close', () => context.pacemaker.cancel(job));
}

/** Sends the head at once, as vLLM does, and returns what sends the events. */
function streamAnswer(
  context: InferenceContext,
  label: AnswerLabel,
  request: InferenceRequest,
  response: ServerResponse,
): (job: Job, newTokens: number) => void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  response.flushHeaders();
  const kind = request.kind === 'chat' ? 'chat' : 'completion';
  const writer = new StreamWriter(kind, label, request);
  let eventsLeft = context.resetAfterEvents ?? Number.POSITIVE_INFINITY;
  let broken = false;
  return (job, newTokens) => {
    // The stream is broken already; the engine hears of it when the socket has closed.
    if (broken) return;
    const text = writer.events(job, newTokens);
    if (eventsLeft === Number.POSITIVE_INFINITY) {
      if (job.state === 'finished') response.end(text);
      else response.write(text);
      return;
    }
    const events = text.split('\n\n').slice(0, -1);
    const sent = events.slice(0, eventsLeft).map((event) => `${event}\n\n`);
    eventsLeft -= sent.length;
    broken = eventsLeft === 0;
    if (broken) breakStream(response, sent.join(''));
    else if (job.state === 'finished') response.end(text);
    else response.write(text);
  };
}

/** The write's callback comes when the bytes have left: they must arrive before the reset does. */
function breakStream(response: ServerResponse, lastEvents: string): void {
  if (lastEvents === '') response.socket?.resetAndDestroy();
  else response.write(lastEvents, () => response.socket?.resetAndDestroy());
}

function finalAnswer(label: AnswerLabel, request: InferenceRequest, job: Job): string {
  if (request.kind === 'embedding') return embeddingAnswer(label, request);
  return wholeAnswer(request.kind, label, request, job);
}

export function sendJson(response: ServerResponse, status: number, json: string): void {
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(json),
  });
  response.end(json);
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { modelsAnswer } from './answers.ts';
import type { EngineHost } from './host.ts';
import { answerInference, sendJson } from './inference.ts';
import {
  type EngineName,
  iterationStats,
  propsAnswer,
  renderMetrics,
  slotsAnswer,
} from './metrics.ts';
import {
  countTokens,
  EngineFault,
  type InferenceRequest,
  parseInference,
  parseObject,
  readPrompt,
  tokenBytes,
  tokenBytesOf,
  tokenize,
} from './openai.ts';
import { switchesFrom } from './switches.ts';

/**
 * Owns what an emulated engine answers on each path. In the thread of the event loop. Faults on
 * purpose are the server's, before a route is asked; a route throws EngineFault for a bad request.
 */

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** `emulator`: the tests' own way in, which no switch touches. */
  readonly scope: 'inference' | 'other' | 'emulator';
  answer(host: EngineHost, call: Call): void;
}

function inference(kind: InferenceRequest['kind']): Route {
  return {
    method: 'POST',
    scope: 'inference',
    answer: (host, { request, response, body }) => {
      const { settings, pacemaker, switches } = host;
      const requestId = request.headers['x-request-id'];
      const context = {
        pacemaker,
        model: settings.model,
        blockBytes: settings.blockTokens * tokenBytes,
        resetAfterEvents: switches.resetAfterEvents,
        requestId: typeof requestId === 'string' ? requestId : undefined,
      };
      answerInference(context, parseInference(kind, parseObject(body), settings), response);
    },
  };
}

/** A control route, as engines have them for their operators. */
function control(effect: (host: EngineHost) => void): Route {
  return {
    method: 'POST',
    scope: 'other',
    answer: (host, { response }) => {
      host.controlCalls++;
      effect(host);
      response.end();
    },
  };
}

/** A route that one kind of engine alone has. */
function only(name: EngineName, answer: Route['answer']): Route {
  return {
    method: 'GET',
    scope: 'other',
    answer: (host, call) => {
      if (host.settings.engine !== name) throw new EngineFault(404, 'Not Found');
      answer(host, call);
    },
  };
}

const countOnly = control(() => undefined);
const flush = control((host) => host.engine.flushCache());

export const routes: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['/v1/chat/completions', inference('chat')],
  ['/v1/completions', inference('completion')],
  ['/v1/embeddings', inference('embedding')],
  ['/v1/models', { method: 'GET', scope: 'other', answer: answerModels }],
  ['/health', { method: 'GET', scope: 'other', answer: answerHealth }],
  ['/metrics', { method: 'GET', scope: 'other', answer: answerMetrics }],
  ['/prometheus/metrics', only('trtllm', answerPrometheus)],
  ['/slots', only('llamacpp', answerSlots)],
  ['/props', only('llamacpp', answerProps)],
  ['/tokenize', { method: 'POST', scope: 'other', answer: answerTokenize }],
  ['/detokenize', { method: 'POST', scope: 'other', answer: answerDetokenize }],
  ['/flush_cache', flush],
  ['/reset_prefix_cache', flush],
  ['/sleep', countOnly],
  ['/wake_up', countOnly],
  ['/v1/load_lora_adapter', countOnly],
  ['/v1/unload_lora_adapter', countOnly],
  ['/emulate/switches', { method: 'POST', scope: 'emulator', answer: answerSwitches }],
  ['/emulate/stats', { method: 'GET', scope: 'emulator', answer: answerStats }],
]);

function answerModels({ settings, created }: EngineHost, { response }: Call): void {
  sendJson(response, 200, modelsAnswer(settings.model, created, settings.contextTokensMax));
}

function answerHealth({ switches }: EngineHost, { response }: Call): void {
  response.writeHead(switches.refuseHealth ? 503 : 200, { 'content-length': 0 });
  response.end();
}

function answerMetrics(host: EngineHost, call: Call): void {
  const { settings, engine } = host;
  if (settings.engine !== 'trtllm') answerPrometheus(host, call);
  else sendJson(call.response, 200, iterationStats(engine.stats()));
}

function answerSlots({ settings, engine }: EngineHost, { response }: Call): void {
  sendJson(response, 200, slotsAnswer(settings, engine.stats()));
}

function answerProps({ settings }: EngineHost, { response }: Call): void {
  sendJson(response, 200, propsAnswer(settings));
}

function answerPrometheus({ settings, engine }: EngineHost, { response }: Call): void {
  response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  response.end(renderMetrics(settings, engine.stats()));
}

function answerTokenize({ settings }: EngineHost, { response, body }: Call): void {
  const object = parseObject(body);
  const prompt = readPrompt(object.messages === undefined ? 'completion' : 'chat', object);
  const tokens = tokenize(prompt);
  const count = countTokens(prompt);
  const answer = { count, max_model_len: settings.contextTokensMax, tokens, token_strs: null };
  sendJson(response, 200, JSON.stringify(answer));
}

function answerDetokenize(_host: EngineHost, { response, body }: Call): void {
  const bytes = tokenBytesOf(parseObject(body).tokens, 'tokens');
  const padding = bytes.subarray(-tokenBytes).indexOf(0);
  const end = padding === -1 ? bytes.length : bytes.length - tokenBytes + padding;
  sendJson(response, 200, JSON.stringify({ prompt: bytes.toString('utf8', 0, end) }));
}

function answerSwitches(host: EngineHost, { response, body }: Call): void {
  try {
    host.setSwitches(switchesFrom(parseObject(body)));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new EngineFault(400, error.message);
  }
  sendJson(response, 200, JSON.stringify(host.switches));
}

function answerStats(host: EngineHost, { response }: Call): void {
  sendJson(response, 200, JSON.stringify(host.stats()));
}

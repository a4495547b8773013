/**
 * `dualmap demo`: the router and four emulated engines in one command, to try it without a GPU. The
 * engines run on the main thread; requests are routed on the I/O threads, as always.
 */
import type { Config } from './config/config.ts';
import { presets } from './emulate/presets.ts';
import { startEngine } from './emulate/server.ts';
import { serveUntilTold } from './run.ts';

const enginesCount = 4;
const preset = 'paper-7b';

export async function runDemo(config: Config): Promise<void> {
  const engines = await Promise.all(
    Array.from({ length: enginesCount }, () => startEngine({ preset })),
  );
  const instances = engines.map(({ url }) => ({ url, weight: 1, models: null }));
  await serveUntilTold({ ...config, instances }, (url) => {
    process.stdout.write(`${greeting(url)}\n`);
  });
  await Promise.all(engines.map((engine) => engine.close()));
}

function greeting(url: string): string {
  const body = {
    model: presets[preset].model,
    stream: true,
    max_tokens: 40,
    messages: [{ role: 'user', content: 'Why do two candidates balance so well?' }],
  };
  return [
    '',
    `DualMap router on ${url}, in front of ${enginesCount} emulated engines (${preset}). Try:`,
    '',
    `  curl -N ${url}/v1/chat/completions -H 'content-type: application/json' \\`,
    `    -d '${JSON.stringify(body)}'`,
    '',
    `  curl ${url}/metrics`,
    '',
    'Ctrl-C ends it.',
  ].join('\n');
}

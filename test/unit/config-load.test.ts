import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';

const instance = ['--worker-urls', 'http://a:8000'];

function load(argv: readonly string[], env: Record<string, string> = {}, file?: string) {
  const readFile = (path: string): string => {
    if (file === undefined || path !== 'dualmap.yaml') throw new Error(`ENOENT: ${path}`);
    return file;
  };
  return loadConfig({ argv, env, readFile });
}

const loadFile = (file: string) => load(['--config', 'dualmap.yaml'], {}, file);

describe('precedence', () => {
  const file = 'port: 1\nslo-ttft-ms: 1\nring-seed: 1\nworker-urls: [http://file]\n';
  const env = { DUALMAP_PORT: '2', DUALMAP_SLO_TTFT_MS: '2', DUALMAP_CONFIG: 'dualmap.yaml' };

  it('command line over environment over file over default', () => {
    const { config } = load(['--port', '3'], env, file);
    expect(config).toMatchObject({ port: 3, sloTtftMs: 2, ringSeed: 1, bytesPerToken: 4 });
    expect(config?.configFile).toBe('dualmap.yaml');
  });

  it('a higher layer replaces the whole list of instances', () => {
    const urls = (argv: string[]) => load(argv, env, file).config?.instances.map(({ url }) => url);
    expect(urls([])).toEqual(['http://file']);
    expect(urls(['--worker-urls', 'http://a', 'http://b'])).toEqual(['http://a', 'http://b']);
  });

  it('off is a value: it overrides a number of a lower layer and of the default', () => {
    const { config } = load(
      [...instance, '--prometheus-port', 'off', '--max-concurrent-requests=off'],
      { DUALMAP_PROMETHEUS_PORT: '9000' },
    );
    expect(config).toMatchObject({ prometheusPort: null, requestsInFlightMax: null });
  });

  it('zero is zero', () => {
    const given = ['--port', '0', '--cache-tokens', '0', '--prometheus-port', '0'];
    const { config } = load([...instance, ...given]);
    expect(config).toMatchObject({ port: 0, cacheTokens: 0, prometheusPort: 0 });
  });

  it('a faulty value is reported even where a higher layer overrides it', () => {
    const { faults } = load([...instance, '--port', '1'], { DUALMAP_PORT: 'x' });
    expect(faults).toEqual([
      'DUALMAP_PORT: "x" is refused; expected a whole number from 0 to 65,535',
    ]);
  });
});

describe('command line', () => {
  it('reports every fault at once', () => {
    const argv = '--worker-urls b:1 --prt 3 --port -1 --slo-ttft-ms --host h stray -x'.split(' ');
    const { config, faults } = load(argv, { DUALMAP_LOG_LEVEL: 'loud' });
    expect(config).toBeNull();
    expect(faults.join('\n')).toBe(
      [
        '--slo-ttft-ms: needs a value',
        '--prt: unknown option; did you mean port?',
        'stray: unexpected argument',
        '-x: unknown option',
        '--worker-urls: "b:1" is refused; expected http://HOST:PORT, https://HOST:PORT or unix:/PATH',
        '--port: "-1" is refused; expected a whole number from 0 to 65,535',
        'DUALMAP_LOG_LEVEL: "loud" is refused; expected one of trace, debug, info, warn, error, fatal',
      ].join('\n'),
    );
  });

  it('a switch may stand alone, also before another flag', () => {
    const { config } = load(['--explain', '--log-json', 'off', ...instance]);
    expect(config).toMatchObject({ explain: true, logJson: false });
  });

  it('takes the list of instances in one flag or in several', () => {
    const argv = ['--worker-urls', 'http://a', '--port', '1', '--worker-urls', 'http://b,http://c'];
    expect(load(argv).config?.instances.map(({ url }) => url)).toEqual([
      'http://a',
      'http://b',
      'http://c',
    ]);
  });

  it('knows the options of its command only', () => {
    const { faults } = loadConfig({
      command: 'demo',
      argv: instance,
      env: { DUALMAP_WORKER_URLS: 'not for the demo' },
      readFile: () => '',
    });
    expect(faults).toEqual(['--worker-urls: unknown option']);
  });
});

describe('environment', () => {
  it("Kubernetes' own DUALMAP_PORT is not ours", () => {
    const { config } = load(instance, { DUALMAP_PORT: 'tcp://10.0.0.7:8080' });
    expect(config?.port).toBe(8080);
  });

  it('an empty variable is a fault, not a default', () => {
    expect(load(instance, { DUALMAP_API_KEY: '' }).faults).toHaveLength(1);
  });

  it('a key is never repeated in a message', () => {
    const { faults } = load(instance, { DUALMAP_API_KEY: 'secret with spaces' });
    expect(faults).toEqual(['DUALMAP_API_KEY: expected visible ASCII, or `off`']);
  });
});

describe('file', () => {
  it('lists instances with weight and models', () => {
    const { config, faults } = loadFile(
      'workers:\n  - url: HTTP://A:80/\n    weight: 2.5\n  - {url: unix:/run/e, models: [m, n]}\n',
    );
    expect(faults).toEqual([]);
    expect(config?.instances).toEqual([
      { url: 'http://a', weight: 2.5, models: null },
      { url: 'unix:/run/e', weight: 1, models: ['m', 'n'] },
    ]);
  });

  it('names the line of every fault', () => {
    const { faults } = loadFile(
      [
        'slo_ttft_ms: 3',
        'log-level:',
        'port: [1]',
        'workers:',
        '  - url: a:1',
        '    wieght: 2',
        '  - weight: 0',
        '  - http://x',
        '  - url: http://y',
        '    models: []',
      ].join('\n'),
    );
    expect(faults.map((fault) => fault.replace(/ is refused;.*/, ''))).toEqual([
      'dualmap.yaml:1: slo_ttft_ms: unknown key; did you mean slo-ttft-ms?',
      'dualmap.yaml:2: log-level: has no value',
      'dualmap.yaml:3: port: expected one value',
      'dualmap.yaml:5: url: "a:1"',
      'dualmap.yaml:6: wieght: unknown key of an instance; did you mean weight?',
      'dualmap.yaml:7: an instance needs a url',
      'dualmap.yaml:7: weight: "0"',
      'dualmap.yaml:8: expected a mapping of keys to values',
      'dualmap.yaml:10: models: expected a list of models; leave it out to ask the instance',
    ]);
  });

  it('means what the command line means by the same text', () => {
    const file = "api-key: 0123\nexplain: on\nring-seed: '7'\nport: &p 81\nprometheus-port: *p\n";
    const { config, faults } = load([...instance, '--config=dualmap.yaml', '--port=1'], {}, file);
    expect(faults).toEqual([]);
    expect(config).toMatchObject({
      apiKey: '0123',
      explain: true,
      ringSeed: 7,
      prometheusPort: 81,
    });
  });

  it.each([
    ['port: 1\nport: 2\n', /^dualmap.yaml:2: Map keys must be unique/],
    ['x: [\n', /^dualmap.yaml:/],
    ['- a\n', /^dualmap.yaml:1: expected a mapping/],
    ['workers: []\n', /^dualmap.yaml:1: workers: expected a list of instances, at least one/],
    ['config: other.yaml\nworkers: [{url: http://a}]\n', /^dualmap.yaml:1: config: unknown key/],
    ['workers: [{url: http://a}]\nworker-urls: http://b\n', /keep one$/],
    ['workers: [{url: http://a}, {url: http://A:80/}]\n', /http:\/\/a is listed more than once$/],
  ])('refuses %j', (file, fault) => {
    const { faults } = loadFile(file);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(fault);
  });

  it('that cannot be read is one fault', () => {
    const { faults } = load(['--config', 'none.yaml']);
    expect(faults).toEqual(['--config: none.yaml cannot be read: ENOENT: none.yaml']);
  });
});

describe('what only two values together can be', () => {
  it('no instance', () => {
    const fault = expect.stringMatching(/^no instance is configured/);
    expect(load([]).faults).toEqual([fault]);
    expect(load(['--port', 'x']).faults).toEqual([expect.stringMatching(/^--port/), fault]);
    expect(loadFile('port: 1\n').faults).toEqual([fault]);
  });

  it.each([
    [['--max-instances', '1', '--worker-urls', 'http://a', 'http://b'], /^--max-instances: 2/],
    [[...instance, '--suspect-backoff-ms', '9', '--suspect-backoff-max-ms', '8'], /is above/],
    [[...instance, '--port', '81', '--prometheus-port', '81'], /^--prometheus-port: 81/],
    [[...instance, '--late-policy=shed', '--queue-order=fcfs'], /^--late-policy: .* is fcfs$/],
    [[...instance, '--late-policy=shed', '--queue-order=hit'], /^--late-policy: .* is hit$/],
    [[...instance, '--late-policy=shed', '--policy=dualmap-paper'], /dualmap-paper has hit$/],
  ])('%j', (argv, fault) => {
    const { faults } = load(argv);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(fault);
  });

  it('deadline order sheds what is late, whoever asks for it', () => {
    const given = [...instance, '--late-policy=shed'];
    expect(load(given).faults).toEqual([]);
    const published = [...given, '--policy=dualmap-paper', '--queue-order=deadline'];
    expect(load(published).faults).toEqual([]);
  });

  it('two free ports are not the same port', () => {
    expect(load([...instance, '--port=0', '--prometheus-port=0']).faults).toEqual([]);
  });
});

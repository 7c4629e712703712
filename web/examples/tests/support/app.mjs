// The examples as a user has them: beside the installed package, started by the commands that their pages show.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { after } from 'node:test';
import { install, pack, run } from '../../../tests/support/packed.mjs';
import { WEB } from '../../../tests/support/server.mjs';

const EXAMPLES = join(WEB, 'examples');
const AREA = resolve(WEB, '../target/examples');
const FOLDERS = ['node', 'deno', 'bun', 'workerd', 'service'];

/** Where the examples lie, with `node_modules/cloze` beside them. */
export const APP = join(AREA, 'app');

const files = (dir) =>
  readdirSync(dir, { recursive: true })
    .map((name) => join(dir, String(name)))
    .filter((path) => statSync(path).isFile());

/** Packs and installs the package, unless that of this very build is there; and copies the examples. */
export function prepare() {
  const hash = createHash('sha256');
  for (const path of [...files(join(WEB, 'dist')), join(WEB, 'package.json')])
    hash.update(path).update(readFileSync(path));
  const made = hash.digest('hex');
  const stamp = join(AREA, 'made');
  if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== made) {
    rmSync(AREA, { recursive: true, force: true });
    mkdirSync(AREA, { recursive: true });
    install(join(AREA, pack(AREA).filename), APP);
    writeFileSync(stamp, made);
  }
  for (const folder of FOLDERS) {
    rmSync(join(APP, folder), { recursive: true, force: true });
    cpSync(join(EXAMPLES, folder), join(APP, folder), { recursive: true });
  }
}

/** The commands that a page shows, each with what it prints there. */
export function commands(page) {
  const blocks = readFileSync(join(EXAMPLES, page), 'utf8').matchAll(/```console\n([^]*?)```/g);
  const shown = [...blocks].flatMap(([, block]) => block.split(/^\$ /m).slice(1));
  return shown.map((text) => {
    const [command, ...output] = text.trimEnd().split('\n');
    return { command, output: output.join('\n') };
  });
}

/** Mesa's driver on the CPU, where nothing else is said. */
function driver() {
  const dir = '/usr/share/vulkan/icd.d';
  const found = existsSync(dir) ? readdirSync(dir).find((name) => /^lvp_icd.*json$/.test(name)) : undefined;
  return found && { VK_ICD_FILENAMES: join(dir, found) };
}

const PATH = [join(EXAMPLES, 'node_modules/.bin'), process.env.PATH].join(delimiter);
const ENV = { ...driver(), ...process.env, PATH, NODEVICE_SELECT: '1', NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' };

/** Runs a command of a page where the examples lie. What it prints. */
export const shell = (command, dir = APP) => run('sh', ['-c', command], dir, ENV).trimEnd();

/** The one command of a page that holds `part`. */
export function commandWith(page, part) {
  const found = commands(page).filter(({ command }) => command.includes(part));
  if (found.length !== 1) throw new Error(`${page} has ${found.length} commands with ${part}`);
  return found[0].command;
}

const PIPES = ['ignore', 'pipe', 'pipe', 'pipe'];

/**
 * Servers that run. Those of a failed test are ended after the last test: their pipes would keep the process of the tests
 * alive without end.
 */
const running = new Set();
const killAll = () => running.forEach((child) => child.kill('SIGKILL'));
after(killAll);
process.on('exit', killAll);

/**
 * Starts a server by a command of a page. `ready` finds in what it writes, to its standard output or to descriptor 3,
 * what `start` resolves to as `found`.
 */
function start(command, env, ready, cwd = APP) {
  const child = spawn('sh', ['-c', `exec ${command}`], { cwd, env: { ...ENV, ...env }, stdio: PIPES });
  running.add(child);
  let written = '';
  const ended = new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      running.delete(child);
      resolve({ code, signal, written });
    });
  });
  const server = {
    pid: child.pid,
    ended,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr, child.stdio[3]]) {
      stream.on('data', (text) => {
        const found = ready((written += text));
        if (found) resolve({ ...server, ...found });
      });
    }
    void ended.then(() => reject(new Error(`${command} ends: ${written}`)));
  });
}

/** Starts the service in Node; `inspected`, with its inspector. */
export function startNode({ inspected = false } = {}) {
  const command = commandWith('service/README.md', 'node.js').replace(/PORT=\d+ /, '');
  const env = { PORT: '0', ...(inspected && { NODE_OPTIONS: '--inspect=127.0.0.1:0' }) };
  return start(command, env, (text) => {
    const url = /^http:\/\/\S+$/m.exec(text)?.[0];
    const [, port, name] = /^Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)\/(\S+)$/m.exec(text) ?? [];
    return url && (port || !inspected) && { url, inspector: { port, name } };
  });
}

/** Bundles an example for workerd and starts it, with its inspector, as its page says but for the ports. */
export function startWorkerd(page, folder) {
  shell(commandWith(page, `esbuild ${folder}/`).replace('esbuild', 'esbuild --log-level=warning'));
  const [, , command] = /^cd (\S+) && (.+)$/.exec(commandWith(page, `cd ${folder} `));
  const free = '--socket-addr=http=127.0.0.1:0 --inspector-addr=127.0.0.1:0 --control-fd=3';
  return start(
    `${command} ${free}`,
    {},
    (text) => {
      const port = (event) => new RegExp(`"event":"${event}"[^}]*"port":(\\d+)`).exec(text)?.[1];
      const [http, inspector] = [port('listen'), port('listen-inspector')];
      return http && inspector && { url: `http://127.0.0.1:${http}`, inspector: { port: inspector, name: 'main' } };
    },
    join(APP, folder),
  );
}

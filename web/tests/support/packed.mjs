// The package as a user gets it: packed, and installed into an empty project.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WEB } from './server.mjs';

/** Runs a command to its end. What it writes to its standard output. */
export function run(command, args, cwd, env = process.env) {
  try {
    return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')}: ${error.stderr || error.message}`);
  }
}

/** Packs the package into the directory `area`. What npm says of the tarball. */
export function pack(area) {
  return JSON.parse(run('npm', ['pack', '--json', '--pack-destination', area], WEB))[0];
}

/** Makes an empty project of `dir` and installs a tarball there. */
export function install(tarball, dir) {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  // It has no dependencies, so nothing is fetched.
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarball], dir);
}

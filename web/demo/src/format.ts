/** Numbers for people. */

export function bytes(count: number): string {
  if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} KB`;
  return `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} MB`;
}

export function seconds(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 1e4 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

/** A time that is estimated, so without false precision. */
export function about(ms: number): string {
  if (ms < 90e3) return `${Math.max(1, Math.round(ms / 1000))} seconds`;
  return ms < 90 * 60e3 ? `${Math.round(ms / 60e3)} minutes` : `${(ms / 3600e3).toFixed(1)} hours`;
}

export function count(n: number): string {
  return Math.round(n).toLocaleString('en-GB');
}

/** A count that is estimated. */
export function roughly(n: number): string {
  if (n >= 1e6) return `${(n / 1e6).toFixed(1)} million`;
  return count(n >= 1e4 ? Math.round(n / 1e3) * 1e3 : Math.round(n / 100) * 100);
}

export function score(value: number): string {
  return value < 0.0005 ? '<0.001' : value.toFixed(3);
}

export function device(name: string): string {
  return name === 'webgpu' ? 'WebGPU' : 'WebAssembly';
}

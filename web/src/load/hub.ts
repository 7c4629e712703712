/** Models of the Hugging Face Hub: one question for the commit and its files, then the files of that commit. */

import { ClozeError, clip } from '../errors.js';
import { readRef, writeRef, type Ref } from './cache.js';
import { baseAddress, isCommit, isPath, isSha256, redacted, type HubId } from './names.js';
import { onDisk } from './node.js';
import { faultOf, type Fault, type Remote, type Source } from './source.js';
import { text } from './transfer.js';

const HUB = 'https://huggingface.co';

/** A model's list of files, in bytes; the largest seen are a few megabytes. */
const MOST_LIST = 16 << 20;

export class Hub {
  private readonly endpoint: string;
  private readonly headers: Record<string, string>;
  /** Of the default Hub, the id; of another, its address, so that the cache keeps them apart. */
  readonly name: string;

  constructor(
    private readonly id: HubId,
    hub: string | undefined,
    private readonly token: string | undefined,
  ) {
    this.endpoint = hub === undefined ? HUB : endpointOf(hub);
    if (token !== undefined && !/^[\x21-\x7e]{1,500}$/.test(token)) {
      throw new ClozeError('option', 'token: it has characters that no token has. Copy it again');
    }
    this.headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    this.name = this.endpoint === HUB ? id.repo : `${this.endpoint}/${id.repo}`;
  }

  /** Whether the revision can stand for one content only. */
  get fixed(): boolean {
    return isCommit(this.id.revision);
  }

  /** The model as the Hub has it now. */
  async now(signal: AbortSignal, retries: number, cache: boolean): Promise<Source> {
    const before = cache ? await readRef(this.name, this.id.revision) : undefined;
    const revision = this.id.revision.replaceAll('/', '%2F');
    const url = `${this.endpoint}/api/models/${this.id.repo}/revision/${revision}?blobs=true`;
    const fault = (fault: Fault, problem: string, cause?: unknown) => this.fault(fault, '', problem, cause);
    const answer = await text(
      {
        file: '',
        url,
        headers: this.headers,
        signal,
        httpCache: false,
        plain: false,
        site: false,
        retries: before ? Math.min(retries, 1) : retries,
        fault,
      },
      MOST_LIST,
    );
    if (answer === undefined) {
      throw fault('missing', `there is no such model or revision "${clip(this.id.revision)}" at ${this.endpoint}`);
    }
    const ref = readAnswer(answer, (problem) => fault('answer', problem));
    if (this.fixed && ref.commit !== this.id.revision) throw fault('answer', `it tells of the commit ${ref.commit}`);
    return { ...this.at(ref), settled: () => writeRef(this.name, this.id.revision, ref) };
  }

  /** The model as it was when the Hub was last asked. */
  async then(): Promise<Source | undefined> {
    const ref = await readRef(this.name, this.id.revision);
    return ref && isCommit(ref.commit) ? this.at(ref) : undefined;
  }

  fault(fault: Fault, file: string, problem: string, cause?: unknown): ClozeError {
    const what = file ? `${this.name}, ${file}` : this.name;
    const page = `${this.endpoint}/${this.id.repo}`;
    // It may have been meant as a path.
    const none = fault === 'missing' || fault === 'access' ? onDisk(this.id.repo)?.problem : undefined;
    const also = none ? `. Also, ${none}` : '';
    switch (fault) {
      case 'missing':
        return faultOf(fault, 'hub_not_found', `${what}: ${problem}. Check the name at ${page}${also}`);
      case 'access':
        return this.token === undefined
          ? faultOf(
              fault,
              'hub_no_access',
              `${what}: there is no such model, or it is not for everyone (${problem}). ` +
                `Check the name at ${page}; for a private or gated model give the option token${also}`,
            )
          : faultOf(
              fault,
              'hub_no_access',
              `${what}: the token may not read it (${problem}). Accept the model's terms at ` +
                `${page}, or give another token`,
            );
      case 'cache':
        return faultOf(fault, 'hub_not_cached', `${what}: ${problem}. Load it once without the option offline`);
      case 'network':
        return faultOf(
          fault,
          'hub_network',
          `${what}: ${problem}. Check the network and load it again: what is there ` + 'is kept and continued',
          cause,
        );
      case 'answer':
        return faultOf(
          fault,
          'hub_answer',
          `${what}: ${this.endpoint} gave an answer that cannot be used: ${problem}. ` +
            'Try again; if the option hub is given, check it',
          cause,
        );
    }
  }

  private at({ commit, files }: Ref): Source {
    const find = async (file: string): Promise<Remote | undefined> => {
      const known = Object.hasOwn(files, file) ? files[file] : undefined;
      if (!known) return undefined;
      const url = `${this.endpoint}/${this.id.repo}/resolve/${commit}/${file}`;
      return { url, headers: this.headers, identity: `commit:${known.size}`, ...known };
    };
    return {
      kind: 'hub',
      name: this.name,
      revision: commit,
      fixed: true,
      find,
      others: async () => Object.keys(files),
      fault: this.fault.bind(this),
    };
  }
}

/** The model whose page at the Hub has this address, as one copies it from the browser; nothing for other addresses. */
export function hubPage(address: URL, hub: string | undefined): string | undefined {
  const base = `${hub === undefined ? HUB : endpointOf(hub)}/`;
  if (!address.href.startsWith(base)) return undefined;
  const page = /^([^/]+\/[^/]+)(?:\/tree\/([^?#]+?))?\/?$/.exec(address.href.slice(base.length));
  return page?.[1] && (page[2] === undefined ? page[1] : `${page[1]}@${page[2]}`);
}

function endpointOf(hub: string): string {
  const wrong = () =>
    new ClozeError('option', `hub: "${clip(redacted(String(hub)))}" is no address. Give https://HOST`);
  try {
    const url = new URL(hub, baseAddress());
    if (!/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) throw wrong();
    return url.href.replace(/\/+$/, '');
  } catch {
    throw wrong();
  }
}

/** Takes from the Hub's answer what is needed of it, if it is what a Hub answers. */
function readAnswer(answer: string, wrong: (problem: string) => ClozeError): Ref {
  let json: unknown;
  try {
    json = JSON.parse(answer);
  } catch {
    throw wrong('no JSON');
  }
  const { sha, siblings } = (json ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== 'string' || !isCommit(sha)) throw wrong(`"${clip(String(sha))}" is no commit`);
  if (!Array.isArray(siblings)) throw wrong('no list of files');
  const files: Ref['files'] = {};
  for (const sibling of siblings as unknown[]) {
    const { rfilename: file, size, lfs } = (sibling ?? {}) as { rfilename?: unknown; size?: unknown; lfs?: unknown };
    // Names with other characters are no files of a model, and never asked for.
    if (typeof file !== 'string' || !isPath(file)) continue;
    const large = (lfs ?? undefined) as { sha256?: unknown; size?: unknown } | undefined;
    const bytes = large?.size ?? size;
    if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) throw wrong(`${file} has no size`);
    if (large && !isSha256(large.sha256)) throw wrong(`the digest of ${file} is none`);
    const known: Ref['files'][string] = { size: bytes as number };
    if (large) known.sha256 = large.sha256 as string;
    Object.defineProperty(files, file, { value: known, enumerable: true, configurable: true, writable: true });
  }
  return { commit: sha, files };
}

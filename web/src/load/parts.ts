/** Which files make a model, and how large they may be. */

import { ClozeError, clip, messageOf } from '../errors.js';
import { isPath, isPlain } from './names.js';

const WEIGHTS = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const MODULES = 'modules.json';
const WHOLE = 'config_sentence_transformers.json';
const MOST_SHARDS = 1000;

/** Weights have to fit WebAssembly's memory of 4 GiB, beside a little else. */
export const MOST_WEIGHTS = 2 ** 32 - 2 ** 24;

/** The most bytes that a file may have. */
export function limitOf(file: string): number {
  const name = file.slice(file.lastIndexOf('/') + 1);
  if (name.endsWith('.safetensors')) return MOST_WEIGHTS;
  if (name === INDEX) return 100_000_000;
  if (/^(tokenizer|vocab\.txt|added_tokens)/.test(name)) return 64 << 20;
  return name === 'config.json' ? 16 << 20 : 1 << 20;
}

/** The error for a file that is longer than it may be. */
export function tooLarge(file: string, bytes: number | undefined, limit: number): ClozeError {
  const name = file.slice(file.lastIndexOf('/') + 1);
  if (name.endsWith('.safetensors')) {
    return new ClozeError(
      'memory',
      `${file} needs ${bytes ?? `more than ${limit}`} bytes, ${limit} are available in ` +
        'WebAssembly. Take a smaller model, or make its weights f16 or i8 with `cloze convert`',
    );
  }
  const code = name === INDEX ? 'checkpoint' : /^(tokenizer|vocab|added|special)/.test(name) ? 'tokenizer' : 'config';
  return new ClozeError(
    code,
    `${file}: it is longer than the ${limit} bytes that such a file may have. Give the files that ` +
      'were saved with the model',
  );
}

/** What a walk asks for. */
export interface Reader {
  /** Loads a file; false if the model has none of that name. */
  has(file: string): Promise<boolean>;
  /** Loads a file and gives its bytes as well. */
  read(file: string): Promise<Uint8Array | undefined>;
  /** Loads these at once. */
  all(files: (() => Promise<unknown>)[]): Promise<void>;
  /** The error for a file that has to be there. */
  missing(file: string, problem: string): ClozeError;
  /** Called when all but the weights is there. */
  small(): Promise<void>;
  others(): Promise<string[]>;
  model: string;
}

/** Loads all files of a model, the weights last; gives the directory of the encoder, where it has its own. */
export async function walk(reader: Reader): Promise<string | undefined> {
  const { encoder, wanted, needed } = readModules(await reader.read(MODULES));
  const at = (file: string) => (encoder ? `${encoder}/${file}` : file);
  const required = async (file: string, problem: string) => {
    if (!(await reader.has(file))) throw reader.missing(file, problem);
  };
  const config = async () => {
    if (await reader.has(at('config.json'))) return;
    await refuseAdapter(reader);
    throw reader.missing(at('config.json'), 'it is missing, or there is no model here');
  };
  const tokenizer = async () => {
    if ((await reader.has(at('tokenizer.json'))) || (await reader.has(at('vocab.txt')))) return;
    await refuseAdapter(reader);
    throw new ClozeError(
      'tokenizer',
      `${reader.model}: neither ${at('tokenizer.json')} nor ${at('vocab.txt')}. Give the ` +
        'files that were saved with the model',
    );
  };
  const asks: (() => Promise<unknown>)[] = [config, () => tokens(reader, at), tokenizer];
  asks.push(...wanted.map((file) => () => reader.has(file)));
  asks.push(
    ...needed.map((file) => async () => {
      if (await reader.has(file)) return;
      const old = file.replace('model.safetensors', 'pytorch_model.bin');
      const help = (await reader.others()).includes(old)
        ? `${old} is not read here: make safetensors of it with ` + '`cloze convert`'
        : 'Give the files that were saved with the model; of picked files, their directory';
      throw new ClozeError('config', `${file}: it is missing, and ${MODULES} names it. ${help}`);
    }),
  );
  await reader.all(asks);
  await reader.small();
  if (await reader.has(at(WEIGHTS))) return encoder;
  const index = await reader.read(at(INDEX));
  if (!index) throw noWeights(await reader.others(), reader.model);
  for (const shard of shardsOf(index, at(INDEX))) {
    await required(at(shard), `${at(INDEX)} names it, and it is missing`);
  }
  return encoder;
}

/** An adapter has no model's files, only the difference to its base. */
async function refuseAdapter(reader: Reader): Promise<void> {
  if (!(await reader.has('adapter_config.json'))) return;
  throw new ClozeError(
    'checkpoint',
    `${reader.model}: this is an adapter, not a model. Merge it into its base with the command line: ` +
      'cloze convert --model ADAPTER --output DIR',
  );
}

/** What says which added and special tokens there are: older models have files of their own for it. */
async function tokens(reader: Reader, at: (file: string) => string): Promise<void> {
  const bytes = await reader.read(at('tokenizer_config.json'));
  // What is wrong with it is for the tokenizer to say.
  if (bytes && new TextDecoder().decode(bytes).includes('"added_tokens_decoder"')) return;
  await reader.all(['special_tokens_map.json', 'added_tokens.json'].map((file) => () => reader.has(at(file))));
}

/** What a sentence-transformers model has beside the encoder, which may have a directory of its own. */
interface Modules {
  encoder?: string;
  wanted: string[];
  needed: string[];
}

function readModules(bytes: Uint8Array | undefined): Modules {
  if (!bytes) return { wanted: [], needed: [] };
  const malformed = (problem: string) =>
    new ClozeError('config', `${MODULES}: ${problem}. Give the files that were saved with the model`);
  const list = parse(bytes, malformed);
  if (!Array.isArray(list)) throw malformed('it is no list');
  const [first, ...others] = (list as unknown[]).map((module) => {
    const { path = '', type } = (module ?? {}) as { path?: unknown; type?: unknown };
    if (typeof path !== 'string' || typeof type !== 'string') throw malformed('a module has no type or path');
    if (path !== '' && !isPath(path)) throw malformed(`"${clip(path)}" is no directory inside the model's`);
    return { at: path ? `${path}/` : '', path, kind: type.slice(type.lastIndexOf('.') + 1) };
  });
  if (!first) throw malformed('it names no module');
  const modules: Modules = { encoder: first.path, wanted: [WHOLE, `${first.at}sentence_bert_config.json`], needed: [] };
  for (const { at, kind } of others) {
    // What each of them does, Rust knows; this one finds out before the weights are loaded.
    if (!/^(Pooling|Dense|LayerNorm|Dropout|Normalize)$/.test(kind)) {
      throw new ClozeError(
        'unsupported',
        `${MODULES}: the module ${clip(kind)} is not supported. Give a model of Transformer, Pooling, ` +
          'Dense, LayerNorm, Dropout and Normalize',
      );
    }
    if (kind !== 'Normalize') modules.needed.push(`${at}config.json`);
    if (kind === 'Dense' || kind === 'LayerNorm') modules.needed.push(at + WEIGHTS);
  }
  return modules;
}

/** The files that an index names, each a plain name beside it. */
export function shardsOf(bytes: Uint8Array, file: string): Set<string> {
  const broken = (problem: string) =>
    new ClozeError('checkpoint', `${file}: ${problem}. Save the model again with safetensors`);
  const map = (parse(bytes, broken) as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null) throw broken('there is no weight_map');
  const shards = new Set<string>();
  for (const shard of Object.values(map) as unknown[]) {
    if (typeof shard !== 'string' || !shard.endsWith('.safetensors') || !isPlain(shard)) {
      throw broken(`"${clip(String(shard))}" is not the name of a .safetensors file beside it`);
    }
    shards.add(shard);
    if (shards.size > MOST_SHARDS) throw broken(`more than ${MOST_SHARDS} shards`);
  }
  if (shards.size === 0) throw broken('the weight_map names no file');
  return shards;
}

/** What to do about a model without safetensors, of which there are these files. */
function noWeights(files: string[], model: string): ClozeError {
  const broken = (problem: string, help: string) => new ClozeError('checkpoint', `${model}: ${problem}. ${help}`);
  // With the class that the model was trained as: another would drop its head.
  const python = (from: string) =>
    'In Python, with CLASS from architectures in config.json: transformers.CLASS.from_pretrained(MODEL' +
    `${from}).save_pretrained(DIR, safe_serialization=True)`;
  const kinds: [RegExp, string][] = [
    [
      /^pytorch_model.*\.(bin|json)$/,
      'Make safetensors of it with the command line: cloze convert --model MODEL --dtype f32 --output DIR',
    ],
    [/^tf_model\.h5$|\.ckpt/, python(', from_tf=True')],
    [/^flax_model\.msgpack$/, python(', from_flax=True')],
    [/\.onnx$/, 'Get the safetensors of the model it was exported from'],
  ];
  for (const [kind, help] of kinds) {
    const found = [...files].sort().find((file) => kind.test(file));
    if (found !== undefined) return broken(`no ${WEIGHTS}; there is ${clip(found)}, which is not read`, help);
  }
  return broken(`neither ${WEIGHTS} nor ${INDEX}`, 'Give a Hugging Face BERT model');
}

function parse(bytes: Uint8Array, wrong: (problem: string) => ClozeError): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw wrong(`it is no JSON: ${messageOf(error)}`);
  }
}

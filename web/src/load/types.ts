/** What the loader is given and gives back. */

/**
 * Where one file's bytes go as they come.
 *
 * `begin` is called before the first `write`, and again whenever the file starts over; `size` is in bytes, and within
 * the loader's limits. What `begin` or `write` throw ends the load as it is.
 */
export interface Sink {
  begin(size: number | undefined): void;
  write(chunk: Uint8Array): void;
  /** The SHA-256, in hex, of what was written since `begin`. */
  digest(): string;
}

/** Called once a file, when it is known to be there. `file` is a path such as `1_Pooling/config.json`. */
export type OpenSink = (file: string) => Sink;

/** The statuses are those of transformers.js; 'ready' comes from the pipeline. */
export interface Progress {
  status: 'initiate' | 'download' | 'progress' | 'done' | 'ready';
  /** The model. */
  name: string;
  file?: string;
  /** Bytes that are here, those from the cache included. */
  loaded?: number;
  /** Bytes of the whole file, where they are known. */
  total?: number;
  /** Of 100. */
  progress?: number;
}

/** A file of a manifest. Its SHA-256 is in hex, its size in bytes. */
export interface ManifestFile {
  readonly size: number;
  readonly sha256: string;
  /** Its text, of a small file: it need not be fetched. */
  readonly text?: string;
  /** Where it lies otherwise. */
  readonly url?: string | URL | (() => URL);
}

/** A model whose files' addresses, sizes and digests are known beforehand. */
export interface Manifest {
  readonly name: string;
  /** Another revision of the same name replaces it in the cache. */
  readonly revision: string;
  files: { [file: string]: ManifestFile };
}

/** A picked file with its path in what was picked, which a file that is sent to a worker may lose. */
export interface PickedFile {
  path: string;
  file: File;
}

/** A file's contents. Of a `Response`, 404 and 410 say that there is no such file. */
export type FileBody = Response | ReadableStream<Uint8Array> | Blob | ArrayBuffer | ArrayBufferView;

/**
 * Gives a model's files by their names, each when it is needed, and again if a lost GPU makes the model be read again:
 * nothing for a file that is not there. Where the size is known, as of a `Response` with `content-length`, memory is
 * taken once.
 */
export type GiveFile = (file: string) => FileBody | null | undefined | Promise<FileBody | null | undefined>;

/**
 * A Hub id (`owner/name`, `owner/name@revision`), the address of a model's directory (`https://…`, `./…`, `/…`), the
 * files of a directory that a visitor picked, what gives them, or a manifest.
 */
export type ModelSpec = string | URL | FileList | readonly File[] | readonly PickedFile[] | GiveFile | Manifest;

export interface LoadOptions {
  /** A branch, tag or commit of the Hub; for an address, a name for its contents that changes when they do. */
  revision?: string;
  /** The Hub's address. Default: `https://huggingface.co`. */
  hub?: string;
  /** For models of the Hub that are not for everyone. */
  token?: string;
  /** Never touches the network: what the cache does not hold is an error. */
  offline?: boolean;
  /** Whether the browser's cache is used. Default: true. */
  cache?: boolean;
  /** Files and the SHA-256 they must have: `sha256-` and base64, as in HTML, or hex. Others are not checked by it. */
  integrity?: Record<string, string>;
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
  /** Called for each small file when its bytes are in the sink, before the weights are asked for; may throw. */
  onFile?: (file: string) => void | Promise<void>;
  /** How often a request is tried again without a byte of progress. Default: 3. */
  retries?: number;
}

export interface Loaded {
  name: string;
  /** The Hub's commit, the option `revision`, or the manifest's. */
  revision?: string;
  /** All files that belong to the model, in sinks now; the weights last. */
  files: string[];
  /** The directory of the encoder inside the model's, where sentence-transformers gave it one of its own. */
  encoder?: string;
  /** Whether the cache holds all of it now. */
  cached: boolean;
  /** The network could not be reached, so that this is the model as it was when it was last fetched. */
  stale: boolean;
}

/** A model in the cache. */
export interface CachedModel {
  name: string;
  revision?: string;
  bytes: number;
  /** Otherwise its download broke off, and the next load continues it. */
  complete: boolean;
  /** When it was last fetched or begun; ISO 8601. */
  date?: string;
}

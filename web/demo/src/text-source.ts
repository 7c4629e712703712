/** Texts from a visitor's files. */

export interface Source {
  title: string;
  text: string;
}

/** Why a file is not taken, for people. */
export class Refusal extends Error {}

const MOST = 20e6;

const KINDS: Record<string, string> = {
  pdf: 'a PDF',
  doc: 'a Word document',
  docx: 'a Word document',
  odt: 'a document',
  rtf: 'a document',
  epub: 'a book',
  html: 'a web page',
  htm: 'a web page',
  png: 'a picture',
  jpg: 'a picture',
  jpeg: 'a picture',
  zip: 'an archive',
};

function isText({ name, type }: File): boolean {
  return /\.(txt|text|md|markdown)$/i.test(name) || (!name.includes('.') && /^(text\/(plain|markdown))?$/.test(type));
}

/** Reads a text file, in UTF-8, UTF-16 with its mark, or Windows' western letters. @throws Refusal */
export async function readText(file: File): Promise<Source> {
  // Some characters turn around whatever stands behind them.
  const title = file.name.slice(0, 120).replace(/[\u202a-\u202e\u2066-\u2069]/g, '');
  if (!isText(file)) {
    const kind = KINDS[/\.([^.]*)$/.exec(file.name)?.[1]?.toLowerCase() ?? ''] ?? 'another kind of file';
    throw new Refusal(
      `“${title}” is ${kind}. This page reads only .txt and .md files. Open the file and paste its text.`,
    );
  }
  if (file.size > MOST) throw new Refusal(`“${title}” is larger than 20 MB. Use a part of it.`);
  const bytes = new Uint8Array(
    await file.arrayBuffer().catch(() => {
      throw new Refusal(`“${title}” cannot be read. It may have been moved. Choose it again.`);
    }),
  );
  const text = decode(bytes)
    .replace(/^\ufeff/, '')
    .replace(/\r\n?/g, '\n');
  if (text.includes('\0')) throw new Refusal(`“${title}” is not plain text, although its name says so.`);
  if (text.trim() === '') throw new Refusal(`“${title}” is empty.`);
  return { title, text };
}

function decode(bytes: Uint8Array<ArrayBuffer>): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** What was dropped: the files of a folder with their paths, or single files. Must be called within the event. */
export async function filesIn(data: DataTransfer): Promise<{ files: File[]; folder: string | undefined }> {
  const entries = [...data.items].flatMap((item) => item.webkitGetAsEntry?.() ?? []);
  const plain = [...data.files];
  const folder = entries.find((entry) => entry.isDirectory);
  if (!folder) return { files: plain, folder: undefined };
  return { files: await walk(folder as FileSystemDirectoryEntry, 0), folder: folder.name };
}

/** Folders below folders, at most: a model has one. */
const DEEPEST = 4;

async function walk(directory: FileSystemDirectoryEntry, depth: number): Promise<File[]> {
  const reader = directory.createReader();
  const files: File[] = [];
  for (;;) {
    // It gives some at a time, until there are none.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files;
    for (const entry of some) {
      if (files.length > 2000) return files;
      if (entry.isDirectory && depth < DEEPEST)
        files.push(...(await walk(entry as FileSystemDirectoryEntry, depth + 1)));
      if (!entry.isFile) continue;
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      // As a picked folder's files have it, and those of a dropped one do not.
      Object.defineProperty(file, 'webkitRelativePath', { value: entry.fullPath.replace(/^\//, '') });
      files.push(file);
    }
  }
}

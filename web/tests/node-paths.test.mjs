// Where there is a disk, a path is a path: of models in Node. The examples' tests have the same in Deno and Bun.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { FIXTURES } from './support/expected.mjs';
import { vocabulary } from './support/fixtures.mjs';

const ENTRY = new URL('../dist/index.js', import.meta.url).href;
/** A name that is another in an address. */
const ODD = 'a model #1 100% ?';
const UNIGRAM = join(FIXTURES, 'unigram');
let dir;
let hub;

/** Loads models of these names one after the other, with `dir` as the working directory: their answers, or their errors. */
async function each(models, options = {}) {
  const script = `
    const { pipeline } = await import(${JSON.stringify(ENTRY)});
    const found = [];
    for (const model of ${JSON.stringify(models)}) {
      try {
        const classify = await pipeline('text-classification', { model, ...${JSON.stringify(options)} });
        found.push([(await classify('a good film')).length, classify.model.name]);
        await classify.dispose();
      } catch ({ code, message }) {
        found.push([code, message]);
      }
    }
    console.log(JSON.stringify(found));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: dir });
  return JSON.parse(stdout);
}

before(async () => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'cloze-paths-')));
  for (const path of ['model', ODD, 'org/name', 'deep/down/here', '.hidden']) {
    mkdirSync(join(dir, path), { recursive: true });
    cpSync(join(FIXTURES, 'heads/classification'), join(dir, path), { recursive: true });
    writeFileSync(join(dir, path, 'vocab.txt'), vocabulary(99));
  }
  mkdirSync(join(dir, 'empty'));
  writeFileSync(join(dir, 'file'), 'of no model');
  hub = createServer((request, response) => {
    response.statusCode = 404;
    response.end('none');
  }).listen(0, '127.0.0.1');
  await new Promise((ready) => hub.on('listening', ready));
});
after(() => {
  hub?.close();
  rmSync(dir, { recursive: true, force: true });
});

test('paths of every form are taken, relative to the working directory', async () => {
  const model = pathToFileURL(join(dir, 'model')).href;
  const odd = pathToFileURL(join(dir, ODD)).href;
  const names = {
    './model': model,
    './model/': model,
    model,
    'model/': model,
    [join(dir, 'model')]: model,
    [`${join(dir, 'model')}/`]: model,
    [`../${basename(dir)}/model`]: model,
    './deep/../model//': model,
    [model]: model,
    [`${model}/`]: model,
    'file:./model': model,
    'file:model': model,
    [`./${ODD}`]: odd,
    [ODD]: odd,
    [join(dir, ODD)]: odd,
    'deep/down/here': pathToFileURL(join(dir, 'deep/down/here')).href,
    './.hidden': pathToFileURL(join(dir, '.hidden')).href,
    '.hidden': pathToFileURL(join(dir, '.hidden')).href,
  };
  const found = await each(Object.keys(names));
  for (const [i, [name, address]] of Object.entries(names).entries())
    assert.deepEqual(found[i], [3, `${address}/`], name);
});

test('a directory goes before a model of the Hub, unless an option says that the Hub is meant', async () => {
  const { port } = hub.address();
  const [[classes, name]] = await each(['org/name']);
  assert.deepEqual([classes, name], [3, `${pathToFileURL(join(dir, 'org/name')).href}/`]);
  const [[code]] = await each(['org/name'], { hub: `http://127.0.0.1:${port}` });
  assert.equal(code, 'hub_not_found');
  // And what is on neither may have been meant as a path.
  const [[none, message]] = await each(['org/none'], { hub: `http://127.0.0.1:${port}` });
  assert.equal(none, 'hub_not_found');
  assert.ok(message.endsWith(`Also, there is no directory ${join(dir, 'org/none')}`), message);
});

test('what is neither a path nor a name says what works', async () => {
  const words = {
    './none':
      /there is no directory .*\/none\. Give the path or file: address of a directory, an https address, or a Hub id/,
    none: /there is no directory .*\/none, and it is no name on the Hub/,
    'a/b/c': /there is no directory .*\/a\/b\/c, and it is no name on the Hub/,
    '~/model': /there is no directory .*~\/model/,
    'C:\\models\\bert': /there is no directory .*C:\\models\\bert/,
    'C:/models/bert': /there is no directory .*C:\/models\/bert/,
    '\\\\server\\share\\bert': /there is no directory/,
    './file': /\/file is no directory/,
    './model/config.json': /config\.json is no directory/,
    'model\u0000': /cannot be read/,
    '': /and it is no name on the Hub/,
    'ftp://x/model': /cannot be fetched/,
  };
  const found = await each(Object.keys(words));
  for (const [i, [name, word]] of Object.entries(words).entries()) {
    assert.equal(found[i][0], 'option', `${name}: ${found[i]}`);
    assert.match(found[i][1], word);
  }
  const [[code, message]] = await each(['./empty']);
  assert.deepEqual([code, /empty\/config\.json: it is missing/.test(message)], ['io', true], message);
});

test('a directory with a Unigram tokenizer gives the answers and vectors of transformers', async () => {
  const { pipeline } = await import(ENTRY);
  const cases = JSON.parse(readFileSync(join(UNIGRAM, 'tasks.json'), 'utf8'));
  const opened = async (task, head) => {
    const model = join(dir, head);
    cpSync(join(UNIGRAM, 'heads', head), model, { recursive: true });
    cpSync(join(UNIGRAM, 'small'), model, { recursive: true });
    return pipeline(task, { model });
  };

  const answer = await opened('question-answering', 'answer');
  const questions = cases.filter(({ task }) => task === 'answer');
  assert.equal(questions.length, 15);
  for (const { input, options, result } of questions) {
    const found = await answer(input, options);
    // Python counts code points, JavaScript UTF-16 units: these texts have no character of two units.
    const places = (all) => all.map(({ answer, start, end }) => [answer, start, end]);
    assert.deepEqual(places(found), places(result), input.question);
    for (const [i, { score }] of result.entries()) assert.ok(Math.abs(found[i].score - score) < 1e-4, input.question);
  }
  await answer.dispose();

  const embed = await opened('feature-extraction', 'embed');
  const texts = cases.filter(({ task }) => task === 'embed');
  assert.equal(texts.length, 4);
  const vectors = await embed(
    texts.map(({ input }) => input),
    { normalize: false },
  );
  for (const [i, { input, result }] of texts.entries()) {
    assert.equal(vectors[i].length, result.length);
    for (const [at, value] of result.entries()) assert.ok(Math.abs(vectors[i][at] - value) < 1e-4, input);
  }
  await embed.dispose();
});

test('texts are searched by the similarity that the model names', async () => {
  const { pipeline, search } = await import(ENTRY);
  const texts = ['The clerk waited.', 'no space here', 'Wer leitete die Brauerei?'];
  const opened = async (name, settings) => {
    const model = join(dir, name);
    cpSync(join(UNIGRAM, 'heads/embed'), model, { recursive: true });
    cpSync(join(UNIGRAM, 'small'), model, { recursive: true });
    if (settings !== undefined) writeFileSync(join(model, 'config_sentence_transformers.json'), settings);
    const files = [
      { idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' },
      { idx: 1, name: '1', path: '1_Pooling', type: 'sentence_transformers.models.Pooling' },
    ];
    writeFileSync(join(model, 'modules.json'), JSON.stringify(files));
    mkdirSync(join(model, '1_Pooling'), { recursive: true });
    const { hidden_size: width } = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
    const pooling = { word_embedding_dimension: width, pooling_mode_mean_tokens: true };
    writeFileSync(join(model, '1_Pooling/config.json'), JSON.stringify(pooling));
    return pipeline('feature-extraction', { model });
  };
  const named = (name) => JSON.stringify({ prompts: { query: 'query: ' }, similarity_fn_name: name });
  for (const [name, settings, metric] of [
    ['euclidean', named('euclidean'), 'euclidean'],
    ['manhattan', named('manhattan'), 'manhattan'],
    ['dot', named('dot'), 'dot'],
    ['null', named(null), 'cosine'],
    ['silent', JSON.stringify({ prompts: { query: 'query: ' } }), 'cosine'],
  ]) {
    const embed = await opened(name, settings);
    const options = { embed, queryPrompt: 'query', textPrompt: '' };
    const found = await search('Who waited?', texts, options);
    assert.deepEqual(found, await search('Who waited?', texts, { ...options, metric }), name);
    // A metric that is given goes before the model's.
    const other = metric === 'cosine' ? 'manhattan' : 'cosine';
    assert.notDeepEqual(found, await search('Who waited?', texts, { ...options, metric: other }), name);
    await embed.dispose();
  }
  await assert.rejects(opened('angle', named('angle')), ({ code }) => code === 'unsupported');
});

test('training refuses a Unigram tokenizer, and says where such a model can be trained', async () => {
  const { train } = await import(new URL('../dist/train/index.js', import.meta.url).href);
  const model = join(dir, 'taught');
  cpSync(join(UNIGRAM, 'heads/classify'), model, { recursive: true });
  cpSync(join(UNIGRAM, 'small'), model, { recursive: true });
  // Before the weights are loaded.
  rmSync(join(model, 'model.safetensors'));
  await assert.rejects(train('text-classification', { model }), ({ code, message }) => {
    assert.deepEqual([code, /Unigram.*cloze train/.test(message)], ['unsupported', true], message);
    return true;
  });
});

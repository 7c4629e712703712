// The package's answers against transformers' pipelines: the same fixtures that the native tests read, within the same
// tolerance, on WebAssembly and on WebGPU, in a worker and in the page.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openSite } from './support/browser.mjs';
import { alike, ask, checkAnswers, FIXTURES, questions, read, TOLERANCE, units } from './support/expected.mjs';

/** For each of the fixtures' tasks: ours, the call's arguments, and the result as ours would be. */
const TASKS = {
  'fill-mask': {
    task: 'fill-mask',
    call: ({ input, options }) => [input.text, options],
    result: (rows) =>
      rows.map(({ mask, token, token_str, score, sequence }) => ({
        mask,
        tokenId: token,
        token: token_str,
        score,
        sequence,
      })),
  },
  classify: { task: 'text-classification', call: ({ input }) => [pairOf(input)], result: (rows) => rows },
  tag: {
    task: 'token-classification',
    call: ({ input, options }) => [input.text, { aggregation_strategy: options.aggregation }],
    result: (rows, { input: { text } }) =>
      rows.map(({ entity, entity_group, start, end, ...others }) => ({
        ...others,
        entity: entity ?? entity_group,
        start: units(text, start),
        end: units(text, end),
      })),
  },
  embed: {
    task: 'feature-extraction',
    load: ({ options }) => ({ pooling: options.pooling }),
    // `auto` is what modules.json says: of these models, all that have a Normalize module say so.
    call: ({ input, options, normalizes }) => [
      pairOf(input),
      { normalize: options.normalize === 'auto' ? normalizes : options.normalize },
    ],
    result: ({ embedding }) => embedding,
  },
  'next-sentence': {
    task: 'next-sentence',
    call: ({ input }) => [pairOf(input)],
    result: ({ is_next }) => ({ isNext: is_next }),
  },
  'zero-shot': {
    task: 'zero-shot',
    call: ({ input, options: { labels, template, multi_label } }) => [
      input.text,
      typeof labels === 'string'
        ? labels
            .split(',')
            .map((l) => l.trim())
            .filter(Boolean)
        : labels,
      { hypothesis_template: template, multi_label },
    ],
    result: ({ labels, scores }) => labels.map((label, i) => ({ label, score: scores[i] })),
  },
};

const pairOf = ({ text, pair }) => (pair === undefined || pair === null ? text : { text, pair });

/** A page says of every file that an address does not have; some of a model's need not be there. */
const isAsked = (problem) => !/status of 404/.test(problem);

/** In the page: each group's calls on one pipeline. An error is its code. */
async function perform({ pipeline }, { groups, device, worker }) {
  const all = [];
  for (const { task, load, model, calls } of groups) {
    let run;
    try {
      run = await pipeline(task, { ...load, model, device, worker, cache: false });
    } catch (error) {
      all.push(calls.map(() => ({ code: error.code, message: error.message })));
      continue;
    }
    const found = [];
    for (const args of calls) {
      const plain = (value) => (value instanceof Float32Array ? [...value] : value);
      found.push(
        await run(...args).then(
          (value) => ({ value: plain(value) }),
          (error) => ({ code: error.code, message: error.message }),
        ),
      );
    }
    if (run.device !== device) throw new Error(`it ran on ${run.device}`);
    await run.dispose();
    all.push(found);
  }
  return all;
}

function groupsOf(cases, base) {
  const groups = new Map();
  for (const one of cases) {
    const { task, load } = TASKS[one.task];
    const options = load?.(one) ?? {};
    const key = JSON.stringify([task, one.model, options]);
    if (!groups.has(key))
      groups.set(key, { task, load: options, model: `${base}/fixtures/tasks/${one.model}/`, cases: [] });
    groups.get(key).cases.push(one);
  }
  return [...groups.values()].map((g) => ({ ...g, calls: g.cases.map((c) => TASKS[c.task].call(c)) }));
}

function sentence(one) {
  try {
    return read(`tasks/${one.model}/modules.json`).some((m) => m.type.endsWith('.Normalize'));
  } catch {
    return false;
  }
}

const cases = read('tasks/cases.json')
  .filter((one) => one.task in TASKS)
  .map((one) => ({ ...one, normalizes: sentence(one) }));
/** In the page: the best answer of a short text, and what it is explained by. */
async function explain({ pipeline }, { device, worker }) {
  const context = 'Charles Babbage 🦀 and Ada Lovelace, née Byron, met in London in 1833.';
  const answer = await pipeline('question-answering', { device, worker });
  const [question, options] = ['When did they meet?', { alignToWords: false, topK: 2 }];
  const { answers, context: tokens, tokens: read } = await answer.explain(question, context, options);
  const plain = await answer(question, context, options);
  const refused = await answer.explain([question], context).catch(({ code }) => code);
  await answer.dispose();
  const columns = Object.fromEntries(Object.entries(tokens).map(([name, column]) => [name, [...column]]));
  return { context, answers, plain, columns, read, refused };
}

for (const { kind, device, worker } of [
  { kind: 'none', device: 'wasm', worker: true },
  { kind: 'none', device: 'wasm', worker: false },
  { kind: 'webgpu', device: 'webgpu', worker: true },
  { kind: 'webgpu', device: 'webgpu', worker: false },
]) {
  describe(`${device}, ${worker ? 'in a worker' : 'in the page'}`, () => {
    let site;
    before(async () => {
      site = await openSite(kind, { mounts: { '/fixtures': FIXTURES } });
    });
    after(() => site?.close());

    test('every task gives the values of transformers', async () => {
      // To open a device and to compile for it takes SwiftShader seconds: there, one model a task.
      const models = new Map();
      const chosen = cases.filter((one) => {
        if (device === 'wasm') return true;
        const key = `${one.model} ${one.options.pooling}`;
        if (!models.has(one.task)) models.set(one.task, key);
        return models.get(one.task) === key;
      });
      const groups = groupsOf(chosen, site.server.url);
      assert.ok(chosen.length >= (device === 'wasm' ? 140 : 40), `${chosen.length} cases`);
      const found = await site.run(perform, { groups, device, worker });
      for (const [g, group] of groups.entries()) {
        for (const [i, one] of group.cases.entries()) {
          const what = `${one.task} ${one.model} ${JSON.stringify(one.input)} ${JSON.stringify(one.options)}`;
          const { value, message } = found[g][i];
          if (one.result.raises) assert.ok(message, `${what}: transformers refuses it`);
          else {
            assert.equal(message, undefined, what);
            alike(value, TASKS[one.task].result(one.result, one), what);
          }
        }
      }
      assert.deepEqual(site.problems.filter(isAsked), []);
    });

    test('real questions have the answers of transformers', async () => {
      // SwiftShader takes seconds for a long window: there, contexts of one window.
      // And one question to a story: the native tests ask all.
      const perStory = new Map();
      const isChosen = ({ name, context }) => {
        perStory.set(name, (perStory.get(name) ?? 0) + 1);
        return context.length <= 500 || perStory.get(name) <= 1;
      };
      const all = questions(device === 'wasm' && worker ? Infinity : 500).filter(isChosen);
      // In the page it is the same engine without messages: a few show that.
      const most = device === 'wasm' ? 60 : worker ? 24 : 8;
      const asked = all.slice(0, most);
      assert.ok(asked.length >= Math.min(most, 20), `${asked.length} questions`);
      const { found, counters } = await site.run(ask, { questions: asked, device, worker });
      checkAnswers(asked, found);
      assert.ok(counters.ops > 0);
      if (device === 'webgpu') assert.equal(counters.readbacks, asked.length, 'one readback a forward');
      assert.deepEqual(site.problems.filter(isAsked), []);
    });

    test('an answer is explained by the scores of its tokens', async () => {
      const {
        context,
        answers: [best],
        plain,
        columns,
        read,
        refused,
      } = await site.run(explain, { device, worker });
      assert.deepEqual(best, plain[0]);
      assert.equal(best.answer, '1833');
      const { start, end, startScore, endScore } = columns;
      assert.ok(read > start.length && start.length > 15, `${read} tokens read, ${start.length} of the context`);
      const top = (scores) => scores.indexOf(Math.max(...scores));
      const [first, last] = [top(startScore), top(endScore)];
      assert.equal(context.slice(start[first], end[last]), best.answer);
      alike(startScore[first] * endScore[last], best.score, 'the score');
      assert.ok(startScore.reduce((a, b) => a + b) <= 1 + TOLERANCE);
      assert.equal(refused, 'input');
    });
  });
}

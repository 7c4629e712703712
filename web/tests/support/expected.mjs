// What transformers' pipelines give, of tests/fixtures, and how ours are compared with it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What is promised of scores. */
export const TOLERANCE = 1e-4;
export const FIXTURES = fileURLToPath(new URL('../../../tests/fixtures', import.meta.url));
export const read = (path) => JSON.parse(readFileSync(`${FIXTURES}/${path}`, 'utf8'));

/** @returns a text's offset in code points as one in UTF-16 units */
export const units = (text, points) => Array.from(text).slice(0, points).join('').length;

/** The same value, numbers within the tolerance. */
export function alike(found, expected, what) {
  if (typeof expected === 'number') {
    assert.ok(Math.abs(found - expected) <= TOLERANCE, `${what}: ${found}, not ${expected}`);
  } else if (typeof expected === 'object' && expected !== null) {
    assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort(), what);
    for (const key of Object.keys(expected)) alike(found[key], expected[key], `${what} ${key}`);
  } else {
    assert.equal(found, expected, what);
  }
}

const answers = read('answers/answers.json');
const contextOf = (name) => answers.contexts[name] ?? readFileSync(`${FIXTURES}/answers/${name}`, 'utf8');

/** In the page: questions to the default model. */
export async function ask({ pipeline }, { questions, device, worker }) {
  const answer = await pipeline('question-answering', { device, worker });
  const found = [];
  for (const { question, context, options } of questions) {
    const list = await answer(question, context, options);
    if (list.some(({ start, end, answer: text }) => context.slice(start, end) !== text))
      throw new Error(`${question}: no slice`);
    found.push(list);
  }
  if (answer.device !== device || answer.worker !== worker)
    throw new Error(`on ${answer.device}, in a worker: ${answer.worker}`);
  const counters = await answer.counters();
  await answer.dispose();
  return { found, counters };
}

/** Real questions to the default model, with the pipeline's answers; contexts of at most `longest` units. */
export const questions = (longest = Infinity) =>
  answers.cases
    .map((one) => ({ ...one, name: one.context, context: contextOf(one.context) }))
    .filter(({ context }) => context.length <= longest);

export function checkAnswers(questions, found) {
  for (const [i, { question, context, name, answers: expected }] of questions.entries()) {
    const want = expected
      // The pipeline fills up with impossible spans, of no score.
      .filter(({ score, answer }) => score > 0 || answer === '')
      .map(({ score, start, end, answer }) => ({
        answer,
        score,
        start: units(context, start),
        end: units(context, end),
      }));
    alike(found[i].slice(0, want.length), want, `${name}: ${question}`);
  }
}

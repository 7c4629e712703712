// The examples answer in every runtime, from the packed package, by the commands that their page shows.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { APP, commands, prepare, shell, startWorkerd } from './support/app.mjs';

before(prepare);

for (const { command, output } of commands('README.md').filter(({ output }) => output !== '')) {
  test(command, () => assert.equal(shell(command), output));
}

const PATHS = `import { pipeline } from 'cloze';

const model = 'node_modules/cloze/dist/model';
const places = [model, './' + model, process.cwd() + '/' + model + '/', new URL('./' + model, import.meta.url)];
for (const model of [...places, './none', 'none']) {
  try {
    const answer = await pipeline('question-answering', { model, device: 'wasm' });
    const [best] = await answer('Where is Ada?', 'Ada lives in Rome.');
    console.log(best.answer, answer.worker);
    await answer.dispose();
  } catch ({ code, message }) {
    console.log(code, message.replaceAll(process.cwd(), '.'));
  }
}
`;

const NONE = [
  'option model: there is no directory ./none. Give',
  'option model: there is no directory ./none, and it is no name on the Hub. Give',
];

for (const [command, worker] of [
  ['node', false],
  ['deno run --allow-read', true],
  ['bun', true],
]) {
  test(`${command}: a path is a path`, () => {
    writeFileSync(join(APP, 'paths.mjs'), PATHS);
    const lines = shell(`${command} paths.mjs`).split('\n');
    assert.deepEqual(lines.slice(0, 4), Array(4).fill(`Rome ${worker}`));
    assert.deepEqual(
      lines.slice(4).map((line) => line.replace(/ Give.*/, ' Give')),
      NONE,
    );
  });
}

test('workerd answers three at once, on a model that is not loaded yet', async () => {
  const server = await startWorkerd('README.md', 'workerd');
  try {
    const ask = async (question, context) => {
      const response = await fetch(`${server.url}/?${new URLSearchParams({ question, context })}`);
      return [response.status, (await response.text()).trim()];
    };
    const asked = [
      ['Who wrote the first program?', 'Ada Lovelace wrote the first program in 1843.', 'Ada Lovelace'],
      ['When did Ada write it?', 'Ada Lovelace wrote the first program in 1843.', '1843'],
      ['Where is Paul?', 'Paul lives in Rome.', 'Rome'],
    ];
    const answers = await Promise.all(asked.map(([question, context]) => ask(question, context)));
    assert.deepEqual(
      answers,
      asked.map(([, , answer]) => [200, answer]),
    );
    assert.equal((await ask('', ''))[0], 400);
  } finally {
    await server.stop();
  }
});

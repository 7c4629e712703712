// The examples answer in every runtime, from the packed package, by the commands that their page shows.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { commands, prepare, shell, startWorkerd } from './support/app.mjs';

before(prepare);

for (const { command, output } of commands('README.md').filter(({ output }) => output !== '')) {
  test(command, () => assert.equal(shell(command), output));
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
    assert.deepEqual(answers, asked.map(([, , answer]) => [200, answer]));
    assert.equal((await ask('', ''))[0], 400);
  } finally {
    await server.stop();
  }
});

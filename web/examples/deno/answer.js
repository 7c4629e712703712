import { pipeline } from 'cloze';

const [question, context, device = 'wasm', worker = 'true'] = Deno.args;
const answer = await pipeline('question-answering', { device, worker: worker === 'true' });
console.log(JSON.stringify(await answer(question, context)), answer.device, answer.adapter, answer.reason, answer.worker);
await answer.dispose();

import { pipeline } from 'cloze';

// On WebGPU where there is a real GPU, else on WebAssembly; in a worker, or with 'here' in this thread.
const [question, context, device = 'auto', place = 'worker'] = Deno.args;
const answer = await pipeline('question-answering', { device, worker: place === 'worker' });
const [best] = await answer(question, context);
console.log(`${best.answer} (${answer.device}, in ${answer.worker ? 'a worker' : 'this thread'})`);
await answer.dispose();

import { pipeline } from 'cloze';

// In a worker, as everywhere where there are workers of the web's kind; with 'here' in this thread.
const [question, context, place = 'worker'] = process.argv.slice(2);
const answer = await pipeline('question-answering', { worker: place === 'worker' });
const [best] = await answer(question, context);
console.log(`${best.answer} (${answer.device}, in ${answer.worker ? 'a worker' : 'this thread'})`);
await answer.dispose();

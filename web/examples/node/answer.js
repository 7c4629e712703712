import { pipeline } from 'cloze';

const [question, context] = process.argv.slice(2);
const answer = await pipeline('question-answering');
const [best] = await answer(question, context);
console.log(`${best.answer} (${answer.device})`);
await answer.dispose();

import { pipeline } from 'cloze';

const [question, context] = process.argv.slice(2);
const answer = await pipeline('question-answering');
console.log(JSON.stringify(await answer(question, context)));
await answer.dispose();

import { DurableObject } from 'cloudflare:workers';
import { pipeline } from 'cloze';
import module from 'cloze/cloze.wasm';

export class Model extends DurableObject {
  #answer;

  async answer(question, context) {
    this.#answer ??= this.#open();
    const answer = await this.#answer;
    return answer(question, context);
  }

  async #open() {
    try {
      const model = (file) => this.env.FILES.fetch(`http://files/${file}`);
      return await pipeline('question-answering', { module, model });
    } catch (error) {
      this.#answer = undefined;
      throw error;
    }
  }
}

export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const [question, context] = ['question', 'context'].map((name) => searchParams.get(name) ?? '');
    try {
      return Response.json(await env.MODEL.getByName('only').answer(question, context));
    } catch (error) {
      return Response.json({ error: error.stack }, { status: 500 });
    }
  },
};

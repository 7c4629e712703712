import { DurableObject } from 'cloudflare:workers';
import { pipeline } from 'cloze';
import module from 'cloze/cloze.wasm';

/** Owns the model. In a Durable Object, and nowhere else, one request may wait for what another has begun. */
export class Model extends DurableObject {
  #opening;

  async answer(question, context) {
    const answer = await this.#open();
    return answer(question, context);
  }

  /** Loads the model for the first question and keeps it; a failure is tried again for the next. */
  #open() {
    const model = (file) => this.env.FILES.fetch(`http://files/${file}`);
    this.#opening ??= pipeline('question-answering', { module, model }).catch((error) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }
}

export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const [question, context] = [searchParams.get('question'), searchParams.get('context')];
    if (!question || !context) return new Response('Ask with ?question=…&context=…\n', { status: 400 });
    const [best] = await env.MODEL.getByName('only').answer(question, context);
    return new Response(`${best.answer}\n`);
  },
};

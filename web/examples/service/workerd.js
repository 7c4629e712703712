/** The service in workerd. One Durable Object owns the model: README.md says why. */

import { DurableObject } from 'cloudflare:workers';
import { pipeline } from 'cloze';
import module from 'cloze/cloze.wasm';
import { service } from './service.js';

export class Service extends DurableObject {
  #opening;
  #handle = service(async (...asked) => {
    const answer = await this.#open();
    return answer(...asked);
  });

  fetch(request) {
    return this.#handle(request);
  }

  /** The pipeline, loaded for the first question and kept; a failure is tried again for the next. */
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
  fetch(request, env) {
    return env.SERVICE.getByName('only').fetch(request);
  },
};

/** The question answering tab. */

import type { Answer } from 'cloze';
import type { Desk, Text } from '../desk.ts';
import { byId, el, messageOf, Status } from '../dom.ts';
import { tokensOf } from '../estimate.ts';
import * as format from '../format.ts';
import { condense, HeatStrip } from '../heat.ts';
import { Kept } from '../kept.ts';
import type { Asked } from '../kept.ts';
import { Model } from '../model.ts';
import { showRanked } from '../ranked.ts';
import { noteCall } from '../report.ts';
import { Running } from '../run.ts';
import { linkTo } from '../share.ts';
import { copy } from '../copy.ts';

/** What takes longer is begun only when the visitor knows. */
const LONG_MS = 15e3;

/** Units of a text that tell how fast this device is. */
const TRIAL = 1500;

/** Tokens of a call that tell it: with fewer, most of the time is spent elsewhere. */
const TELLING = 200;

/** Texts that are shorter are just run. */
const SHORT = 20_000;

const TOP = 5;

export class Ask {
  readonly model = new Model('question-answering', { title: 'MiniLM-L6, question answering', bytes: MODEL_BYTES });
  #question = byId<HTMLInputElement>('question');
  #status = new Status(byId('ask-status'));
  #progress = byId<HTMLProgressElement>('ask-progress');
  #long = byId('ask-long');
  #result = byId('result');
  #kept = new Kept((asked) => this.#again(asked));
  #running: Running;
  /** Questions that are not the visitor's own. */
  #proposed: string[] = [''];
  #asked: Asked | undefined;
  /** The answer that is marked. */
  #chosen: Answer | undefined;
  /** Whether the answer has not been shown: the visitor was at another tab. */
  #isNew = false;

  constructor(
    private readonly desk: Desk,
    private readonly strip: HeatStrip,
  ) {
    this.#running = new Running(byId('ask-go'), byId('ask-stop'), () => this.model.cancel());
    byId('ask').addEventListener('submit', (event) => {
      event.preventDefault();
      void this.ask();
    });
    byId('ask-anyway').addEventListener('click', () => void this.ask(true));
    byId('ask-not').addEventListener('click', () => {
      this.#long.hidden = true;
      this.#question.focus();
    });
    byId('share').addEventListener('click', () => void this.#share());
  }

  /** Another text lies on the desk. */
  textChanged({ sample }: Text): void {
    this.#running.cancel();
    this.#long.hidden = true;
    this.#result.hidden = true;
    this.#asked = undefined;
    this.#chosen = undefined;
    this.strip.show(undefined);
    const questions = sample?.questions ?? [];
    byId('suggestions').replaceChildren(
      ...questions.map((question) => {
        const button = el('button', { type: 'button', className: 'suggestion', textContent: question });
        button.addEventListener('click', () => {
          this.#question.value = question;
          void this.ask();
        });
        return el('li', {}, button);
      }),
    );
    // A question of the visitor's own is asked of the next text as well.
    if (this.#proposed.includes(this.#question.value)) this.#question.value = questions[0] ?? '';
    this.#proposed = ['', ...questions];
    this.#status.say(
      this.model.stage.stage === 'ready' || this.model.choice.kind !== 'included'
        ? ''
        : `The first answer loads the model once: ${format.bytes(MODEL_BYTES)}.`,
    );
  }

  /** Puts a question there without asking it. */
  propose(question: string, word: string): void {
    this.#question.value = question;
    this.#status.say(word);
    byId('ask-go').focus();
  }

  /** Asks what is written; of a long text only once the visitor knows how long it takes. */
  async ask(whatever = false): Promise<void> {
    this.desk.commit();
    const question = this.#question.value.trim();
    const { text } = this.desk;
    this.#long.hidden = true;
    if (question === '') {
      this.#status.say('Write a question first.', 'problem');
      return this.#question.focus();
    }
    if (text.text.trim() === '') {
      return this.#status.say('There is no text yet. Paste one, or choose a sample.', 'problem');
    }
    let timer: ReturnType<typeof setInterval> | undefined;
    try {
      const asked = await this.#running.run(async (signal) => {
        if (this.model.stage.stage !== 'ready') this.#status.say(`Loading the model…`);
        const answer = await this.model.get();
        signal.throwIfAborted();
        if (text.text.length > SHORT && this.model.speed === undefined) {
          this.#status.say('Measuring how fast this device is…');
          await this.#explain(question, text.text.slice(0, TRIAL), signal);
          signal.throwIfAborted();
        }
        const tokens = tokensOf(text.text, question);
        const expected = this.model.speed === undefined ? 0 : (1000 * tokens) / this.model.speed;
        if (expected > LONG_MS && !whatever) return this.#warn(tokens, expected);
        this.#status.say(expected > 2000 ? `Reading, for about ${format.about(expected)}…` : 'Reading…');
        if (expected > 1000) timer = this.#tick(expected);
        const { explained, took } = await this.#explain(question, text.text, signal);
        const { recoveries } = await answer.counters();
        const heat = condense(explained.context, text.text.length);
        const { tokens: read } = explained;
        const answers = explained.answers.map((one) => withAccents(one, text.text));
        const { device, reason } = answer;
        return { text, question, answers, heat, tokens: read, took, device, reason, recoveries };
      });
      if (asked) {
        this.#kept.add(asked);
        this.#show(asked);
      } else if (this.#long.hidden && !this.#running.busy) {
        this.#status.say('Stopped.');
      }
    } catch (error) {
      if (this.model.failed(error)) this.#status.say(messageOf(error), 'problem');
      else this.#status.say('Stopped.');
    } finally {
      clearInterval(timer);
      if (!this.#running.busy) this.#progress.hidden = true;
    }
  }

  async #explain(question: string, context: string, signal: AbortSignal) {
    const answer = await this.model.get();
    const began = performance.now();
    const explained = await answer.explain(question, context, { topK: TOP, signal });
    const took = performance.now() - began;
    if (explained.tokens >= TELLING) this.model.speed = (1000 * explained.tokens) / Math.max(1, took);
    noteCall('question-answering', took, explained.tokens);
    return { explained, took };
  }

  #warn(tokens: number, expected: number): undefined {
    byId('ask-long-text').textContent =
      `This is a long text of about ${format.roughly(tokens)} tokens. It takes about ${format.about(expected)}: ` +
      `this device reads ${format.count(this.model.speed ?? 0)} tokens a second. ` +
      'You can use the page meanwhile, and stop at any time.';
    this.#status.say('');
    this.#long.hidden = false;
    // After the button that was pressed has come back.
    setTimeout(() => byId('ask-anyway').focus());
    return undefined;
  }

  /** Moves the bar as time goes by: how far a call is nobody knows better. */
  #tick(expected: number): ReturnType<typeof setInterval> {
    const began = performance.now();
    this.#progress.value = 0;
    this.#progress.hidden = false;
    return setInterval(() => {
      this.#progress.value = Math.min(0.98, (performance.now() - began) / expected);
    }, 200);
  }

  /** The tab comes to the front: what it has marked is marked again. */
  shown(): void {
    this.strip.show(this.#asked?.heat);
    if (this.#chosen) this.#point(this.#chosen, this.#isNew);
    else this.desk.view.unmark();
    this.#isNew = false;
  }

  #again(asked: Asked): void {
    if (this.desk.text !== asked.text) this.desk.put(asked.text);
    this.#question.value = asked.question;
    this.#show(asked);
  }

  #show(asked: Asked): void {
    this.#asked = asked;
    byId('asked').textContent = asked.question;
    byId('share-manual').hidden = true;
    const answers = asked.answers.filter(({ answer }) => answer !== '').map((one) => ({ ...one, text: one.answer }));
    showRanked(byId('answers'), answers, (one) => this.#point(one));
    const speed = (1000 * asked.tokens) / Math.max(1, asked.took);
    const facts: [string, string][] = [
      ['Time', format.seconds(asked.took)],
      ['Read', `${format.count(asked.tokens)} tokens`],
      ['Speed', `${format.count(speed)} tokens/s`],
      ['Device', format.device(asked.device)],
    ];
    const { recoveries } = asked;
    if (recoveries > 0) facts.push(['GPU lost, opened again', recoveries === 1 ? 'once' : `${recoveries} times`]);
    const shown = facts.map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value)));
    byId('facts').replaceChildren(...shown);
    byId('reason').textContent = `Why ${format.device(asked.device)}: ${asked.reason}.`;
    this.#result.hidden = false;
    const best = answers[0];
    if (best) this.#status.say(`The answer: ${best.answer}`, 'heard');
    else this.#status.say('The model found no answer in this text.');
    this.#chosen = best;
    this.#isNew = true;
    if (!byId('panel-ask').hidden) this.shown();
  }

  #point(chosen: Answer, reveal = true): void {
    this.#chosen = chosen;
    const { start, end } = chosen;
    const { length } = this.desk.text.text;
    this.desk.view.mark(start, end);
    if (reveal) this.desk.view.reveal(start);
    this.strip.answer(start / length, end / length);
  }

  async #share(): Promise<void> {
    if (!this.#asked) return;
    const {
      text: { title, text },
      question,
    } = this.#asked;
    try {
      const link = await linkTo({ title, text, question });
      const isCopied = await copy(link, byId('share-manual'), byId<HTMLTextAreaElement>('share-link'));
      this.#status.say(
        isCopied
          ? 'Link copied. It contains the text and the question.'
          : 'This page cannot use the clipboard. Copy the link by hand.',
      );
    } catch (error) {
      this.#status.say(messageOf(error), 'problem');
    }
  }
}

/** An answer with the accents that stand behind its last letter, which the tokenizer leaves out. */
function withAccents(found: Answer, text: string): Answer {
  const { answer, end } = found;
  const [accents] = answer === '' ? '' : (/^\p{Mn}*/u.exec(text.slice(end, end + 16)) ?? '');
  return accents ? { ...found, answer: answer + accents, end: end + accents.length } : found;
}

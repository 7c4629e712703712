/** The page: a text on the desk, and in its margin what is done with it. */

import { Desk } from './desk.ts';
import { byId, messageOf, painted } from './dom.ts';
import { HeatStrip } from './heat.ts';
import { ModelPicker } from './model-picker.ts';
import type { Device, Model, Task } from './model.ts';
import { startOffline } from './offline.ts';
import { startReport } from './report.ts';
import { SAMPLES } from './samples.ts';
import { sharedIn } from './share.ts';
import { startTabs } from './tab-list.ts';
import { Ask } from './tabs/ask.ts';
import { Blanks } from './tabs/blanks.ts';
import { Next } from './tabs/next.ts';
import { Search } from './tabs/search.ts';
import { filesIn } from './text-source.ts';
import { startTheme } from './theme.ts';

const desk = new Desk();
const strip = new HeatStrip(
  byId<HTMLCanvasElement>('heat'),
  { start: byId('key-start'), end: byId('key-end'), answer: byId('key-answer'), line: byId('heat-note') },
  (fraction) => desk.view.reveal(Math.floor(fraction * desk.text.text.length)),
);
const ask = new Ask(desk, strip);
const search = new Search(desk, strip);
const blanks = new Blanks(desk);
const next = new Next(desk);

const place = (name: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(`[data-model=${name}]`);
  if (!found) throw new Error(`index.html has no place for the model of ${name}`);
  return found;
};
const pickers = {
  ask: new ModelPicker(
    place('ask'),
    ask.model,
    'deepset/bert-base-cased-squad2',
    'A BERT model for question answering.',
  ),
  search: new ModelPicker(
    place('search'),
    search.model,
    'sentence-transformers/all-MiniLM-L6-v2',
    'A BERT model that embeds sentences.',
  ),
  blanks: new ModelPicker(
    place('blanks'),
    blanks.model,
    'google-bert/bert-base-uncased',
    'A BERT model with a masked-word head.',
  ),
  next: new ModelPicker(
    place('next'),
    next.model,
    'google-bert/bert-base-uncased',
    'A BERT model with a next-sentence head.',
  ),
};
const models: Model<Task>[] = [ask.model, search.model, blanks.model, next.model] as unknown as Model<Task>[];
let tab: keyof typeof pickers = 'ask';

const view = desk.view.frame;
const looked = (): void => strip.visible(...desk.view.visible());
view.addEventListener('scroll', looked, { passive: true });
new ResizeObserver(looked).observe(view);
desk.view.ondrawn = () => {
  looked();
  // Blocks have their own heights once they have been painted.
  void painted().then(looked);
};
desk.onchange = (text) => {
  ask.textChanged(text);
  search.textChanged();
};

startTabs(document.querySelector<HTMLElement>('[role=tablist]') ?? document.body, (panel) => {
  tab = panel as keyof typeof pickers;
  if (tab === 'ask') ask.shown();
  if (tab === 'search') search.shown();
});
startTheme(() => strip.redraw());
startReport(models);

const device = byId<HTMLSelectElement>('device');
device.addEventListener('change', () => {
  for (const model of models) model.on(device.value as Device);
});

// ---- files that are dropped anywhere on the page

document.addEventListener('dragover', (event) => {
  if (!event.dataTransfer?.types.includes('Files')) return;
  event.preventDefault();
  document.body.classList.add('dropping');
});
document.addEventListener('dragleave', ({ relatedTarget }) => {
  if (relatedTarget === null) document.body.classList.remove('dropping');
});
document.addEventListener('drop', (event) => {
  document.body.classList.remove('dropping');
  if (!event.dataTransfer?.types.includes('Files')) return;
  event.preventDefault();
  void take(event.dataTransfer);
});

async function take(data: DataTransfer): Promise<void> {
  try {
    const { files, folder } = await filesIn(data);
    const isModel = files.some(({ name }) => name === 'config.json');
    const [file] = files;
    if (isModel) pickers[tab].take(files, folder ?? 'dropped files');
    else if (folder !== undefined) desk.status.say('This folder is not a model: it has no config.json.', 'problem');
    else if (files.length > 1) desk.status.say('Drop one text at a time.', 'problem');
    else if (file) await desk.open(file);
  } catch (error) {
    desk.status.say(messageOf(error), 'problem');
  }
}

// ---- links that carry a text

/** Whether the address carried a text. It is taken out of the address: what is asked next is another. */
async function openLink(): Promise<boolean> {
  try {
    const shared = await sharedIn(location.hash);
    if (!shared) return false;
    desk.put({ title: shared.title, text: shared.text });
    ask.propose(shared.question, 'This text and this question came with the link. Press Ask for an answer.');
    history.replaceState(null, '', location.pathname + location.search);
    return true;
  } catch (error) {
    desk.status.say(messageOf(error), 'problem');
    return false;
  }
}

const [first] = SAMPLES;
if (first && location.hash === '') await desk.sample(first);
else if (!(await openLink()) && first) {
  const word = byId('desk-status').textContent ?? '';
  await desk.sample(first);
  desk.status.say(word, word === '' ? 'plain' : 'problem');
}
addEventListener('hashchange', () => void openLink());

performance.mark('interactive');
document.documentElement.dataset.ready = '';

// What works with the network off: the page, once its files are kept, and answers, once the model is.
let isKept = false;
const sayOffline = (): void => {
  byId('offline').hidden = !(isKept && pickers.ask.isStored);
};
pickers.ask.onlook = sayOffline;

// What can wait until the page is there.
const later = (): void => {
  for (const picker of Object.values(pickers)) void picker.look();
  void startOffline(() => {
    isKept = true;
    sayOffline();
  });
};
if (document.readyState === 'complete') setTimeout(later, 300);
else addEventListener('load', () => setTimeout(later, 300));

// `screenshots.mjs [FOLDER]`: the page with an answer, on a phone and on a desktop, light and dark, for the docs.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ask, openDemo } from './support.mjs';

const folder = process.argv[2] ?? fileURLToPath(new URL('../../../docs/images', import.meta.url));
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 800 } };

mkdirSync(folder, { recursive: true });
const demo = await openDemo();
try {
  for (const [name, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark']) {
      const { context, page } = await demo.open({ viewport, colorScheme, reducedMotion: 'reduce' });
      await ask(page);
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${folder}/demo-${name}-${colorScheme}.png` });
      await context.close();
    }
  }
} finally {
  await demo.close();
}

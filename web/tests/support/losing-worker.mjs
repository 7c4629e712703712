// A worker of the package whose GPU devices can be destroyed.

import './losing.mjs';

// Messages that come while this module waits are kept for it.
await import('/dist/worker.js');

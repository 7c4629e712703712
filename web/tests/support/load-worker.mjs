// Loads the model at the address that it is sent, in a module worker.
import { load } from './sinks.mjs';

onmessage = async ({ data }) => {
  postMessage(await load(data));
};

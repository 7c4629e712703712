/** The worker's entry. */

import { open } from './inference.js';
import { serve } from './serve.js';

serve(open);

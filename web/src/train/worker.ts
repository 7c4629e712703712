/** The worker's entry. */

import { serve } from '../serve.js';
import { open } from './engine.js';

serve(open);

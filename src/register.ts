// node --import gwanmun/register server.js: every http.Server of the program runs on gwanmun's core.

import { takeOver } from './adapters/node/server.js';

takeOver();

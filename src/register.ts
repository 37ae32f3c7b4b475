// node --import gwanmun/register server.js: every http.Server and https.Server of the program runs on gwanmun's core.

import { takeOverSecure } from './adapters/node/secure.js';
import { takeOver } from './adapters/node/server.js';

takeOver();
takeOverSecure();

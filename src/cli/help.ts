import { createColors } from '../errors.js';

/** The help text: examples first. It fits on a screen of 80 × 24. */
export function helpText(color: boolean): string {
  const c = createColors(color);
  const head = (text: string): string => c.bold(text);
  const note = (text: string): string => c.dim(text);
  return `gwanmun: web server, gateway and application server in one

${head('Examples')}
  gwanmun                      ${note('# what gwanmun.config.ts of this folder says')}
  gwanmun ./public             ${note('# the files of a folder')}
  gwanmun app.ts --port 8080   ${note('# a module that exports application()')}
  gwanmun check                ${note('# is the configuration valid?')}

${head('Commands')}
  gwanmun [serve] [target]     serve a folder, an application or a configuration
                               (a folder named "serve" is written ./serve)
  gwanmun check                check the configuration and start nothing

${head('Options')}
  -p, --port <number>          port; 0 takes a free one   ${note('PORT, or 3000')}
      --host <address>         address; 0.0.0.0 is all    ${note('HOST, or 127.0.0.1')}
      --workers <number|auto>  application processes      ${note('1')}
  -c, --config <file>          configuration              ${note('gwanmun.config.ts')}
  -h, --help   -v, --version
  A flag wins over the configuration, and that over the environment.
  NO_COLOR=1 turns colours off.

${head('Exit codes')}  0 stopped  1 failed  2 usage or configuration  3 nothing to serve
`;
}

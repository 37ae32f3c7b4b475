// Loaded into the processes that a program under gwanmun run forks: one that serves by Node's own http says so.

import { Server } from 'node:http';

let isTold = false;
const listen = Server.prototype.listen as (...args: unknown[]) => Server;

Server.prototype.listen = function (this: Server, ...args: unknown[]) {
  this.once('listening', tell);
  return listen.apply(this, args);
} as Server['listen'];

function tell(): void {
  if (isTold) return;
  isTold = true;
  process.stderr.write(
    `gwanmun: process ${process.pid} is not on the core: it was forked by the program, and serves with Node's own http\n`,
  );
}

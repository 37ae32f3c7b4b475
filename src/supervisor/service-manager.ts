// What systemd wants to know of a service of Type=notify-reload: sd_notify(3).

import { loadNative } from '../native.js';

/** Tells a service manager, if one listens, how the server is. */
export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #watchdogUsec: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Takes what it needs out of the environment: it is for the main process alone. */
  constructor(env: NodeJS.ProcessEnv = process.env, pid: number = process.pid) {
    const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = env;
    for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
    if (NOTIFY_SOCKET === undefined || !/^[/@]./.test(NOTIFY_SOCKET)) return;
    this.#socket = NOTIFY_SOCKET;
    // A successor has another process id than the one that systemd has started.
    if ((WATCHDOG_PID ?? String(pid)) === String(pid)) this.#watchdogUsec = WATCHDOG_USEC;
  }

  /** For a process that takes this one's place. */
  get env(): Record<string, string> {
    const { NOTIFY_SOCKET, WATCHDOG_USEC } = { NOTIFY_SOCKET: this.#socket, WATCHDOG_USEC: this.#watchdogUsec };
    return {
      ...(NOTIFY_SOCKET === undefined ? {} : { NOTIFY_SOCKET }),
      ...(WATCHDOG_USEC === undefined ? {} : { WATCHDOG_USEC }),
    };
  }

  /** The server serves, after its start or after a reload. */
  ready(status: string): void {
    this.#tell('READY=1', `STATUS=${status}`, `MAINPID=${process.pid}`);
    const period = Number(this.#watchdogUsec) / 1000;
    // Half of it, as the manual advises; from the event loop, so that a main process that hangs is found.
    if (period >= 2 && this.#timer === undefined) {
      this.#timer = setInterval(() => this.#tell('WATCHDOG=1'), Math.min(period / 2, 2_147_483_647)).unref();
    }
  }

  /** A reload begins; {@link ready} follows, whatever comes of it. */
  reloading(): void {
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`, 'STATUS=reloading');
  }

  stopping(): void {
    this.#tell('STOPPING=1', 'STATUS=finishing the requests in progress');
  }

  /** Another process is the server from now on. */
  succeededBy(pid: number): void {
    clearInterval(this.#timer);
    this.#tell(`MAINPID=${pid}`);
  }

  #tell(...lines: string[]): void {
    // Nobody to tell that nobody listens.
    if (this.#socket !== undefined) loadNative().notify(this.#socket, lines.join('\n'));
  }
}

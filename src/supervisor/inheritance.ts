// Listening sockets that this process was started with: systemd's, or those of the server whose place it takes.

/** Sockets that came with the start. */
export interface Inheritance {
  /** Descriptors, from 3 on. */
  readonly sockets: readonly number[];
  /** A service manager has bound them: they are listened on whatever the configuration says. */
  readonly isActivated: boolean;
  /** The server whose place is taken. */
  readonly predecessor: number | undefined;
  /** Descriptor of a connection to the process that reads certificates as root. */
  readonly reader?: number | undefined;
}

const SOCKETS = 'GWANMUN_SOCKETS';
const READER = 'GWANMUN_READER';
const PREDECESSOR = 'GWANMUN_PREDECESSOR';
/** systemd's first descriptor (sd_listen_fds(3)). */
const FIRST_FD = 3;

/** Reads what the environment says of sockets, and takes it out: it is not for the programs that are started from here. */
export function takeInheritance(
  env: NodeJS.ProcessEnv = process.env,
  pid: number = process.pid,
): Inheritance | undefined {
  const { LISTEN_PID, LISTEN_FDS } = env;
  const own = env[SOCKETS];
  const predecessor = env[PREDECESSOR];
  const reader = Number(env[READER]) || undefined;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', SOCKETS, PREDECESSOR, READER]) delete env[name];
  const [, activated, list] = /^(activated:)?(\d+(?:,\d+)*)$/.exec(own ?? '') ?? [];
  if (list !== undefined) {
    const sockets = list.split(',').map(Number);
    return { sockets, isActivated: activated !== undefined, predecessor: Number(predecessor) || undefined, reader };
  }
  const count = LISTEN_PID === String(pid) && /^\d{1,4}$/.test(LISTEN_FDS ?? '') ? Number(LISTEN_FDS) : 0;
  if (count === 0) return undefined;
  const sockets = Array.from({ length: count }, (_, index) => FIRST_FD + index);
  return { sockets, isActivated: true, predecessor: undefined };
}

/**
 * What the environment says to a process that gets `count` sockets from descriptor `first` on, and behind them, if `hasReader`, the connection to the one
 * that reads certificates.
 */
export function bequest(
  first: number,
  count: number,
  isActivated: boolean,
  hasReader: boolean,
): Record<string, string> {
  const list = Array.from({ length: count }, (_, index) => first + index).join(',');
  return {
    [SOCKETS]: `${isActivated ? 'activated:' : ''}${list}`,
    [PREDECESSOR]: String(process.pid),
    ...(hasReader ? { [READER]: String(first + count) } : {}),
  };
}

// Asks a Node process over its inspector what it is doing, and prints that: `node inspect-worker.js ws://…`. A process of its own,
// because it takes Node's flag for WebSocket, and so that whatever comes of it, the main process goes on.

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly callFrames?: readonly CallFrame[] };
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

interface CallFrame {
  readonly callFrameId: string;
  readonly functionName: string;
  readonly url: string;
  readonly location: { readonly lineNumber: number; readonly columnNumber?: number };
}

/** In the process itself a stack has the places of the sources, and what awaits the code that runs. */
const EXPRESSION = '(() => { Error.stackTraceLimit = 30; return new Error().stack; })()';

const socket = new WebSocket(process.argv[2] ?? '');
let frames: readonly CallFrame[] = [];
socket.addEventListener('error', () => process.exit(1));
socket.addEventListener('open', () => {
  send(1, 'Debugger.enable');
  send(2, 'Debugger.pause');
});
socket.addEventListener('message', ({ data }) => {
  const { id, method, params, result } = JSON.parse(String(data)) as Reply;
  if (method === 'Debugger.paused') {
    frames = params?.callFrames ?? [];
    const [frame] = frames;
    if (frame === undefined) process.exit(1);
    send(3, 'Debugger.evaluateOnCallFrame', {
      callFrameId: frame.callFrameId,
      expression: EXPRESSION,
      returnByValue: true,
    });
  } else if (id === 3) {
    const stack = result?.result?.value;
    process.stdout.write(typeof stack === 'string' ? stack : frames.map(describe).join('\n'), () => process.exit(0));
  }
});

function send(id: number, method: string, params: object = {}): void {
  socket.send(JSON.stringify({ id, method, params }));
}

function describe({ functionName, url, location }: CallFrame): string {
  return `    at ${functionName || '<anonymous>'} (${url}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1})`;
}

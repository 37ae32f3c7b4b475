// What a Python worker says is in the one log, with its request.

import { expect, test } from 'vitest';
import { ask, startPython } from './python.js';

test('wsgi.errors, tracebacks and what is printed are events of the JSON log', async () => {
  await using server = startPython({ '/': 'contract' }, { config: { errorLog: { format: 'json' } } });
  const port = await server.port();
  const id = 'abcdefabcdefabcdef';
  for (const path of ['errors', 'raises?error', 'prints']) await ask(port, `GET /${path}`, [`X-Request-Id: ${id}`]);
  await server.says(/error line/);
  const events = server.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const find = (text: string): unknown => events.find((event) => JSON.stringify(event).includes(text));
  expect(find('two lines')).toMatchObject({ event: 'output', stream: 'wsgi.errors', worker: 1, request_id: id });
  expect(find('a secret reason')).toMatchObject({ level: 'error', worker: 1, request_id: id });
  expect(find('"one"')).toMatchObject({ event: 'output', stream: 'stdout', worker: 1 });
  expect(find('error line')).toMatchObject({ event: 'output', stream: 'stderr', worker: 1 });
});

test('W27 what close() writes to wsgi.errors, and its error, have the request and its id', async () => {
  await using server = startPython({ '/': 'contract' }, { config: { errorLog: { format: 'json' } } });
  const port = await server.port();
  await ask(port, 'GET /writes-in-close?a=b', ['X-Request-Id: an-id']);
  await server.says(/closing fails/);
  const events = eventsOf(server.stderr);
  const request = { request_id: 'an-id', method: 'GET', path: '/writes-in-close', query: 'a=b', worker: 1 };
  for (const text of ['in the iteration', 'in close']) {
    expect(events.find(({ msg }) => msg === text)).toMatchObject({
      ...request,
      event: 'output',
      stream: 'wsgi.errors',
    });
  }
  expect(events.find(({ stack }) => String(stack).includes('closing fails'))).toMatchObject({
    ...request,
    level: 'error',
  });
});

test('without request ids a client cannot give what comes late one', async () => {
  await using server = startPython({ '/': 'contract' }, { config: { requestId: false, errorLog: { format: 'json' } } });
  await ask(await server.port(), 'GET /writes-in-close', ['X-Request-Id: an-id']);
  await server.says(/closing fails/);
  const event = eventsOf(server.stderr).find(({ msg }) => msg === 'in close');
  expect(event).toMatchObject({ method: 'GET', path: '/writes-in-close' });
  expect(event).not.toHaveProperty('request_id');
});

const LOGGING = `
import logging, sys, threading
from logging.config import dictConfig
log = logging.getLogger("own")
NUMBERS = [10, 20, 30, 40, 50]

def say(log, where):
    for number in NUMBERS:
        log.log(number, "%s at %d", where, number)

def application(environ, start_response):
    say(log, "unconfigured")
    for name, stream in (("out", sys.stdout), ("err", sys.stderr), ("errors", environ["wsgi.errors"])):
        own = logging.getLogger(name)
        own.setLevel(1)
        own.propagate = False
        own.handlers = [logging.StreamHandler(stream)]
        own.handlers[0].setFormatter(logging.Formatter("<%(message)s>"))
        say(own, name)
    thread = threading.Thread(target=say, args=[logging.getLogger("err"), "thread"])
    thread.start()
    thread.join()
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("err").exception("with a traceback")
    logging.getLogger("err").warning("%d", "no number")
    with open("own.log", "w") as file:
        own = logging.getLogger("file")
        own.propagate = False
        own.handlers = [logging.StreamHandler(file)]
        own.warning("to a file of its own")
    print("the end", file=sys.stderr)
    start_response("200 OK", [])
    return [open("own.log", "rb").read()]
`;

test('Y109 Y111 records of logging have their level, whatever stream of ours they go to', async () => {
  await using server = startPython(
    { '/': 'logs_levels' },
    { config: { errorLog: { format: 'json', level: 'debug' } }, files: { 'logs_levels.py': LOGGING } },
  );
  const port = await server.port();
  const response = await ask(port, 'GET /logged', ['X-Request-Id: an-id']);
  expect(response.body.toString()).toBe('to a file of its own\n');
  await server.says(/the end/);
  await server.says(/no number/);
  const events = eventsOf(server.stderr);
  const levels = (where: RegExp): unknown[] =>
    events.filter(({ msg }) => where.test(String(msg))).map(({ level, stream, request_id: id }) => [level, stream, id]);
  expect(levels(/^unconfigured at/)).toEqual([
    ['warn', 'stderr', 'an-id'],
    ['error', 'stderr', 'an-id'],
    ['error', 'stderr', 'an-id'],
  ]);
  for (const [name, stream] of [
    ['out', 'stdout'],
    ['err', 'stderr'],
    ['errors', 'wsgi.errors'],
  ]) {
    expect(levels(new RegExp(`^<${name} at \\d+>$`))).toEqual(
      ['debug', 'info', 'warn', 'error', 'error'].map((level) => [level, stream, 'an-id']),
    );
  }
  // Nobody knows whose request a thread works for.
  expect(levels(/^<thread at/)).toEqual(
    ['debug', 'info', 'warn', 'error', 'error'].map((level) => [level, 'stderr', undefined]),
  );
  expect(
    events.filter(({ msg }) => /^<with a traceback>\nTraceback[^]*ZeroDivisionError/.test(String(msg))),
  ).toHaveLength(1);
});

test('debug records are shown to who develops, and else to who asks for them', async () => {
  const DEBUG = `
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(message)s")
logging.info("while it is loaded")
def application(environ, start_response):
    logging.debug("a debug record")
    logging.info("an info record")
    start_response("200 OK", [])
    return [b""]
`;
  await using server = startPython({ '/': 'logs_debug' }, { files: { 'logs_debug.py': DEBUG } });
  await ask(await server.port(), 'GET /');
  await server.says(/an info record/);
  expect(server.stderr).toMatch(/^\S+Z info \[worker 1\] while it is loaded$/m);
  expect(server.stderr).toMatch(/^\S+Z info \[worker 1\] an info record$/m);
  expect(server.stderr).not.toContain('a debug record');
});

function eventsOf(log: string): Record<string, unknown>[] {
  return log
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

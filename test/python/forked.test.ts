// Processes that a Python application forks are processes like any other: they end by signals, and hold nothing of their worker's.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ask, startPython } from './python.js';

const APP = `
import multiprocessing, os, signal, time
# The default of the newest Python is another.
multiprocessing.set_start_method("fork")

def forever(begun=None):
    if begun:
        begun.set()
    time.sleep(600)

def own_handler(number, frame):
    os._exit(7)

def descriptors(pid):
    names = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            name = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        if int(fd) > 2 and "socket:" in name:
            names.append(name)
    return names

# As the module is loaded, the worker has its links already.
if "EARLY" in os.environ:
    early = multiprocessing.Process(target=forever, daemon=True)
    early.start()
    with open("early.pid", "w") as file:
        file.write(str(early.pid))

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path in ("/SIGTERM", "/SIGINT", "/SIGHUP", "/SIGUSR1"):
        begun = multiprocessing.Event()
        process = multiprocessing.Process(target=forever, args=[begun])
        process.start()
        # What is no exception ends it whenever it comes.
        if path == "/SIGINT":
            begun.wait(5)
        os.kill(process.pid, getattr(signal, path[1:]))
        process.join(5)
        answer = "alive" if process.is_alive() else str(process.exitcode)
        process.kill()
    elif path == "/own":
        signal.signal(signal.SIGTERM, own_handler)
        process = multiprocessing.Process(target=forever)
        process.start()
        process.terminate()
        process.join(5)
        answer = str(process.exitcode)
        process.kill()
    elif path == "/descriptors":
        late = multiprocessing.Process(target=forever)
        late.start()
        # It says nothing when its hooks have run.
        end = time.time() + 5
        while descriptors(late.pid) and time.time() < end:
            time.sleep(0.01)
        answer = repr(descriptors(early.pid) + descriptors(late.pid))
        late.kill()
        early.kill()
    start_response("200 OK", [])
    return [answer.encode()]
`;

function start(env: Record<string, string> = {}): ReturnType<typeof startPython> {
  return startPython({ '/': 'forks' }, { files: { 'forks.py': APP }, env });
}

test('they end by the signals that its worker leaves to the main process', async () => {
  await using server = start();
  const port = await server.port();
  const answers: string[] = [];
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGINT']) {
    answers.push((await ask(port, `GET /${signal}`)).body.toString());
  }
  // multiprocessing ends with 1 what an exception ends, and KeyboardInterrupt is one.
  expect(answers).toEqual(['-15', '-1', '-10', '1']);
});

test("a handler of the application's own is theirs, too", async () => {
  await using server = start();
  expect((await ask(await server.port(), 'GET /own')).body.toString()).toBe('7');
});

test('they hold no link, whether forked as the module is loaded or later', async () => {
  await using server = start({ EARLY: '1' });
  expect((await ask(await server.port(), 'GET /descriptors')).body.toString()).toBe('[]');
});

test('those that Python ends with its own process end with the server', async () => {
  await using server = start({ EARLY: '1' });
  await server.port();
  const pid = Number(readFileSync(join(server.folder, 'early.pid'), 'utf8'));
  expect(server.processes()).toContain(pid);
  server.child.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
  await server.leavesNobody();
});

import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { onStopSignal } from '../../src/cli/signals.js';

class Target extends EventEmitter {
  readonly exit = vi.fn<(code: number) => void>();
}

let target: Target;
const stop = vi.fn<(signal: string) => void>();

beforeEach(() => {
  vi.useFakeTimers();
  stop.mockReset();
  target = new Target();
});
afterEach(() => void vi.useRealTimers());

test('the first signal stops in order', () => {
  onStopSignal(stop, target);
  target.emit('SIGTERM');
  expect(stop).toHaveBeenCalledExactlyOnceWith('SIGTERM');
  expect(target.exit).not.toHaveBeenCalled();
});

test('the same Ctrl-C that arrives again by way of npm does not cut the stop short', () => {
  onStopSignal(stop, target);
  target.emit('SIGINT');
  vi.advanceTimersByTime(499);
  target.emit('SIGINT');
  expect(stop).toHaveBeenCalledOnce();
  expect(target.exit).not.toHaveBeenCalled();
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
])('a second %s exits at once with %i', (signal, code) => {
  onStopSignal(stop, target);
  target.emit('SIGINT');
  vi.advanceTimersByTime(501);
  target.emit(signal);
  expect(target.exit).toHaveBeenCalledExactlyOnceWith(code);
  expect(stop).toHaveBeenCalledOnce();
});

test('ending the watch leaves no listener behind', () => {
  onStopSignal(stop, target)();
  expect(target.eventNames()).toEqual([]);
});

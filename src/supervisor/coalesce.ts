/**
 * What is asked for again and again is done for several askers at once: one run at a time, and whoever asks during it shares the one that
 * comes behind it. So each asker gets a run that began after it had asked, and there are never more than two to wait for.
 */
export function coalesce(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const run = (): Promise<void> => {
    running = task().finally(() => (running = undefined));
    return running;
  };
  return () => {
    if (next !== undefined) return next;
    if (running === undefined) return run();
    const begin = (): Promise<void> => {
      next = undefined;
      return run();
    };
    next = running.then(begin, begin);
    return next;
  };
}

// Says which files of the user's a thread loads: in development they are watched.

import module, { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { PACKAGE } from '../package-folder.js';

/** Imports are followed, from {@link followImports} on. */
export interface Imports {
  /** The files that have been asked for since the last time. Some of them need not exist. */
  take(): string[];
  /** Follows no more. */
  end(): void;
}

interface Context {
  readonly parentURL?: string | undefined;
}
type Next<Result> = (specifier: string, context: Context) => Result;

/** Node 22.15 and later. */
interface Hooks {
  registerHooks?(hooks: {
    resolve(specifier: string, context: Context, next: Next<{ url: string }>): { url: string };
  }): { deregister(): void };
}

/** Our own files, which nobody works on here. */
const OWN = fileURLToPath(new URL('dist/', PACKAGE));

export function followImports(): Imports {
  const known = new Set<string>();
  const fresh = new Set<string>();
  const add = (file: string): void => {
    // What a registry's package holds is installed, not worked on. A workspace's is known by its real path.
    if (known.has(file) || file.includes('/node_modules/') || file.startsWith(OWN)) return;
    known.add(file);
    fresh.add(file);
  };
  const addUrl = (url: string): void => {
    if (url.startsWith('file:')) add(fileURLToPath(url));
  };
  const following = follow(addUrl);
  // With what `require` has loaded, and jiti, which no hook sees.
  const { cache } = createRequire(import.meta.url);
  return {
    take(): string[] {
      following.drain();
      for (const file of Object.keys(cache)) if (file.startsWith('/')) add(file);
      const files = [...fresh];
      fresh.clear();
      return files;
    },
    end: () => following.end(),
  };
}

interface Following {
  drain(): void;
  end(): void;
}

function follow(add: (url: string) => void): Following {
  const hooks = (module as unknown as Hooks).registerHooks?.({
    resolve(specifier, context, next) {
      try {
        const result = next(specifier, context);
        add(result.url);
        return result;
      } catch (error) {
        // It may be there soon.
        const wanted = wantedBy(specifier, context.parentURL);
        if (wanted !== undefined) add(wanted);
        throw error;
      }
    },
  });
  if (hooks !== undefined) return { drain: () => {}, end: () => hooks.deregister() };
  // Older Nodes have their hooks in a thread of its own, for ever.
  const { port1, port2 } = new MessageChannel();
  module.register(new URL('dist/config/follow-imports-hooks.js', PACKAGE), { data: port2, transferList: [port2] });
  port1.unref();
  return {
    drain() {
      for (let message = receiveMessageOnPort(port1); message !== undefined; message = receiveMessageOnPort(port1)) {
        add(message.message as string);
      }
    },
    end: () => port1.close(),
  };
}

/** The file that a relative specifier stands for. */
export function wantedBy(specifier: string, parent: string | undefined): string | undefined {
  return /^\.{0,2}\//.test(specifier) && parent !== undefined ? new URL(specifier, parent).href : undefined;
}

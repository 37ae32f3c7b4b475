import type { RequestListener } from 'node:http';
import type { ApplicationKind } from '../config/define.js';
import type { Adapter } from '../gateway/adapter.js';
import type { Application } from '../gateway/types.js';
import type { FetchApplication, FetchHandler } from './fetch/types.js';

/** Makes an application of a kind what a dispatcher calls. An adapter is loaded when it is needed. */
export async function adapt(kind: ApplicationKind, application: unknown): Promise<Application | Adapter> {
  switch (kind) {
    case 'wsgi':
      return application as Application;
    case 'node': {
      const { nodeApplication } = await import('./node/handler.js');
      return nodeApplication(application as RequestListener);
    }
    case 'fetch': {
      const { fetchApplication } = await import('./fetch/handler.js');
      return fetchApplication(application as FetchHandler | FetchApplication);
    }
  }
}

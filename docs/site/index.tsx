// The theme: Rspress's own, with a landing page of ours. Its colours are in style.css.

import { Layout as OriginalLayout } from '@rspress/core/theme-original';

import { Home } from './home.tsx';

export * from '@rspress/core/theme-original';

export function Layout() {
  return <OriginalLayout HomeLayout={Home} />;
}

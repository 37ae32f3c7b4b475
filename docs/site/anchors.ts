// The links to themselves that Rspress puts into headings are hidden from screen readers: then the keyboard passes them by, too.

interface Element {
  tagName?: string;
  properties?: Record<string, unknown>;
  children?: Element[];
}

/** A rehype plugin; it runs after Rspress's own. */
export function anchorsWithoutFocus() {
  return (tree: Element): void => visit(tree);
}

function visit(element: Element): void {
  if (element.tagName === 'a' && element.properties?.['ariaHidden'] !== undefined) element.properties['tabIndex'] = -1;
  for (const child of element.children ?? []) visit(child);
}

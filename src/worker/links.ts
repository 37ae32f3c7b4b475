/** The file descriptors that a worker got from the main process. */
export interface InheritedLinks {
  readonly memory: number;
  readonly links: readonly number[];
}

/** Reads GWANMUN_LINKS: `memory=3;links=4,5`. */
export function parseLinks(text: string | undefined): InheritedLinks {
  const match = /^memory=(\d+);links=(\d+(?:,\d+)*)$/.exec(text ?? '');
  if (!match?.[1] || !match[2]) throw new TypeError(`GWANMUN_LINKS is not memory=<fd>;links=<fd>,…: ${String(text)}`);
  return { memory: Number(match[1]), links: match[2].split(',').map(Number) };
}

/* oxlint-disable typescript/no-non-null-assertion -- parts come in pairs */

/** Adds what the core says of a client's connection, by the names of the environ: its TLS. `tail` is the head's text behind the client's address. */
export function addConnectionVariables(variables: Record<string, unknown>, tail: string): void {
  const parts = tail.split('\0');
  for (let i = 0; i + 1 < parts.length; i += 2) variables[parts[i]!] = parts[i + 1]!;
}

/** The same alone. */
export function connectionVariables(tail: string): Record<string, string> {
  const variables: Record<string, string> = {};
  addConnectionVariables(variables, tail);
  return variables;
}

/** `AB:01:…`, as Node writes a digest. */
export function fingerprintOf(hex: string): string {
  return hex.toUpperCase().replaceAll(/..(?!$)/g, '$&:');
}

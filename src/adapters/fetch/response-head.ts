// The head of a response, as the gateway has it.

import { STATUS_CODES } from 'node:http';
import { isOfConnection } from '../../gateway/headers.js';
import type { Header } from '../../gateway/types.js';

const statusLines: string[] = [];

export function statusLine(status: number, text: string): string {
  // A tab is allowed in the text, and no application's to send.
  if (text !== '') return `${status} ${text.replaceAll('\t', ' ')}`;
  return (statusLines[status] ??= `${status} ${STATUS_CODES[status] ?? ''}`);
}

/** Without those of the connection. That they go is no news: a response that was fetched brings such headers along. */
export function endToEnd(headers: readonly Header[]): readonly Header[] {
  return headers.some(([name]) => isOfConnection(name)) ? headers.filter(([name]) => !isOfConnection(name)) : headers;
}

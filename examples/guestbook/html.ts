/** Text that is HTML already. Only the tag below makes it, so whatever a guest writes is escaped on its way into a page. */
export interface Html {
  readonly markup: string;
}

/** A template tag: escapes every value that is not `Html`, or a list of it. */
export function html(literals: TemplateStringsArray, ...values: (string | number | Html | Html[])[]): Html {
  return { markup: String.raw({ raw: literals }, ...values.map(markupOf)) };
}

function markupOf(value: string | number | Html | Html[]): string {
  if (Array.isArray(value)) {
    return value.map((item) => item.markup).join('');
  }
  return typeof value === 'object' ? value.markup : escape(String(value));
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

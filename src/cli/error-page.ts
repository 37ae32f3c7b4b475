// The registry as text: docs/errors.md and `gwanmun help GWM_…`.

import { errorEntries, type ErrorCode } from '../error-entries.js';

/** The section of a code, in Markdown. */
export function errorSection(code: ErrorCode): string {
  const { title, explanation, fixes, example } = errorEntries[code];
  return `## ${code}

**${title}.** ${explanation}

${indent(example)}

What helps:

${fixes.map((fix) => `- ${fix}`).join('\n')}`;
}

/** docs/errors.md */
export function errorPage(): string {
  const codes = Object.keys(errorEntries).toSorted() as ErrorCode[];
  const rows = codes.map((code) => `| [\`${code}\`](#${code.toLowerCase()}) | ${errorEntries[code].title} |`);
  return `<!-- Made from src/error-entries.ts by \`npm run docs:errors\`: change it there. -->

# Errors

Every error has a code, and says what happened, where (file, line, column and key of the configuration, as far as there is one) and what
to try. \`gwanmun help CODE\` prints the section of a code. A program that calls \`serve()\` finds the same in the properties \`code\`,
\`message\`, \`where\` and \`remedy\` of a \`GwanmunError\`.

| code | |
|---|---|
${rows.join('\n')}

${codes.map(errorSection).join('\n\n')}
`;
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : `    ${line}`))
    .join('\n');
}

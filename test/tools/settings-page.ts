// Prints docs/settings.md from the table of settings: `node test/tools/settings-page.ts > docs/settings.md`.
import { settingRows } from '../../broker/settings.ts';

const head = `# Settings

Printed from \`broker/settings.ts\` by \`node test/tools/settings-page.ts\`; change it there.

Every setting is a flag of \`millrace start\` and a variable of the environment. The flag wins. A broker refuses to start with
a setting that it does not know or a value that is not allowed, and says which are.

`;

export function settingsPage(): string {
  const rows = settingRows.map((row) => [
    `\`${row.flag}\``,
    `\`${row.env}\``,
    row.default,
    row.allowed,
    row.description,
  ]);
  return head + markdownTable([['flag', 'variable', 'default', 'allowed', 'meaning'], ...rows]);
}

/** Padded as the formatter wants it. */
function markdownTable([titles = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[], fill: string): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width, fill)).join(' | ')} |\n`;
  return [line(titles, ' '), line([], '-'), ...rows.map((row) => line(row, ' '))].join('');
}

if (import.meta.main) process.stdout.write(settingsPage());

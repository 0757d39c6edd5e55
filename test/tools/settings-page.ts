// Prints docs/settings.md from the table of settings: `node test/tools/settings-page.ts > docs/settings.md`.
import { settingRows } from '../../broker/settings.ts';
import { markdownTable } from './markdown-table.ts';

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

if (import.meta.main) process.stdout.write(settingsPage());

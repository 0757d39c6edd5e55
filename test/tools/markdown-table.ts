// A Markdown table padded as the formatter wants it, so that a printed page passes the format check.

export function markdownTable([titles = [], ...rows]: readonly (readonly string[])[]): string {
  const widths = titles.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[], fill: string): string =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width, fill)).join(' | ')} |\n`;
  return [line(titles, ' '), line([], '-'), ...rows.map((row) => line(row, ' '))].join('');
}

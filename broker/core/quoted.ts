// A caller's text inside an error message: quoted, escaped and cut, so that it can neither forge log lines nor fill
// a trailer.

/** Longest part of a foreign text that a message repeats, in characters; metadata and message stay below 1 KiB. */
const shownMax = 64;

/** The text in double quotes; what is not printable ASCII as `\u....`, what is too long cut with `...`. */
export function quoted(text: string): string {
  const shown = JSON.stringify(text.slice(0, shownMax)).replace(/[^\x20-\x7e]/g, escapeUnit);
  return text.length > shownMax ? `${shown}...` : shown;
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

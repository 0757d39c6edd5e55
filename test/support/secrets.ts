// What must stand nowhere that anybody reads: every secret that the tests use, known by its shape. Whatever starts a
// program for a test looks through all that the program said.

/** Longer than what a message may show of one to be recognized. */
const shapes: Readonly<Record<string, RegExp>> = {
  'an API token': /mrt_[\w-]{24,}/,
  'a signed JWT': /eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}/,
  'a private key': /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  // Of the object stores that tests start, and of the roles that they invent.
  'a key of an object store': /millrace-secret|secretAccessKey["']?[:=]\s*["']?\w/i,
};

/** Throws with the place, and without the secret, when the text has one. */
export function expectNoSecret(place: string, text: string): void {
  for (const [kind, shape] of Object.entries(shapes)) {
    const found = shape.exec(text);
    if (found === null) continue;
    const before = text.slice(Math.max(0, found.index - 200), found.index);
    throw new Error(`${kind} stands in ${place}, after: ${before}`);
  }
}

// Labels of topics and tenants: what tools write down about them. The broker keeps them and reads nothing from them.
//
// Invariant: a label has a text; one that is set to nothing is gone.
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import { specInvalid, type SpecFields } from './spec-fields.ts';

/** By name, in the order of names. */
export type Labels = ReadonlyMap<string, string>;

export const noLabels: Labels = new Map();

const namePattern = new RegExp(`^[a-zA-Z0-9][a-zA-Z0-9._/-]{0,${limits.nameBytesMax - 1}}$`);
const textPattern = new RegExp(`^[\\x20-\\x7e]{0,${limits.labelBytesMax}}$`);

/** Those of the patch over those there are; an empty text takes a label away. Throws SPEC_INVALID. */
export function patchLabels(labels: Labels, patch: Labels = noLabels): Labels {
  const patched = new Map(labels);
  for (const [name, text] of patch) {
    checkLabel(name, text);
    if (text === '') patched.delete(name);
    else patched.set(name, text);
  }
  if (patched.size > limits.labelsMax) {
    throw specInvalid('labels', `a set of ${patched.size}`, `may have ${limits.labelsMax}`);
  }
  return new Map([...patched].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** For changes told field by field; `names`: of both sides. */
export function labelSpecFields(
  labels: Labels,
  names: Iterable<string> = labels.keys(),
): SpecFields {
  return Object.fromEntries(
    [...names].map((name) => [`labels.${name}`, labels.get(name) ?? 'none'] as const),
  );
}

function checkLabel(name: string, text: string): void {
  if (!namePattern.test(name)) {
    throw specInvalid(
      'labels',
      quoted(name),
      `must be named with 1 to ${limits.nameBytesMax} characters of a-z, A-Z, 0-9, ".", "_", "/", "-"`,
    );
  }
  if (!textPattern.test(text)) {
    const rule = `must be at most ${limits.labelBytesMax} printable ASCII characters`;
    throw specInvalid(`labels.${name}`, quoted(text), rule);
  }
}

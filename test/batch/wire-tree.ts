// Protobuf bytes as a tree of fields, so that a test can break them in a stated way before they are encoded. Encodes by
// itself, with BigInt: what is tested shall not be trusted.

export interface WireField {
  readonly number: number;
  /** 0 varint, 1 fixed64, 2 length-delimited, 3 and 4 group, 5 fixed32. */
  readonly type: number;
  /** Number of a varint; bytes or fields of what is delimited; bytes of the fixed types. */
  readonly value: bigint | Buffer | readonly WireField[];
  /** Superfluous bytes of the tag, and of the length or number. */
  readonly tagPad?: number;
  readonly valuePad?: number;
  /** Added to the length, so that it lies. */
  readonly lengthLie?: number;
}

export function bytesField(number: number, value: Buffer | string): WireField {
  return { number, type: 2, value: typeof value === 'string' ? Buffer.from(value) : value };
}

export function numberField(number: number, value: bigint | number): WireField {
  return { number, type: 0, value: BigInt(value) };
}

export function messageField(number: number, value: readonly WireField[]): WireField {
  return { number, type: 2, value };
}

export function encodeFields(fields: readonly WireField[]): Buffer {
  return Buffer.concat(fields.map(encodeField));
}

/** An unsigned number as a varint with superfluous bytes. */
export function encodeVarint(value: bigint, pad = 0): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(rest & 0x7fn));
    rest >>= 7n;
  } while (rest > 0n);
  for (let i = 0; i < pad; i++) bytes.push(0);
  return Buffer.from(bytes.map((byte, i) => (i === bytes.length - 1 ? byte : byte | 0x80)));
}

function encodeField(field: WireField): Buffer {
  const { number, type, value } = field;
  const tag = encodeVarint((BigInt(number) << 3n) | BigInt(type), field.tagPad ?? 0);
  if (typeof value === 'bigint') return Buffer.concat([tag, encodeVarint(value, field.valuePad)]);
  const body = Buffer.isBuffer(value) ? value : encodeFields(value);
  if (type !== 2) return Buffer.concat([tag, body]);
  const length = BigInt(body.length) + BigInt(field.lengthLie ?? 0);
  return Buffer.concat([tag, encodeVarint(length, field.valuePad), body]);
}

export const mutationKinds = [
  'duplicate',
  'drop',
  'swap',
  'unknown field',
  'other number',
  'other type',
  'group',
  'pad tag',
  'pad value',
  'lie about length',
  'huge length',
  'huge number',
  'odd text',
  'empty',
] as const;

export interface Mutation {
  readonly kind: (typeof mutationKinds)[number];
  /** Chooses the field among all fields of the tree. */
  readonly at: number;
  /** Chooses how. */
  readonly how: number;
}

const oddTexts = [
  'millrace-x',
  'millrace',
  '\u00e9',
  '\x1f',
  '\x7f',
  '~',
  ' ',
  'x'.repeat(129),
  '\ud800',
];
const hugeNumbers = [2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n, 65_537n];

/** The tree with one field broken; the same tree when it has no field. */
export function mutate(fields: readonly WireField[], mutation: Mutation): readonly WireField[] {
  const total = countFields(fields);
  return total === 0 ? fields : mutateAt(fields, mutation, mutation.at % total);
}

function countFields(fields: readonly WireField[]): number {
  return fields.reduce((count, { value }) => count + 1 + countFields(nested(value)), 0);
}

function nested(value: WireField['value']): readonly WireField[] {
  return typeof value === 'bigint' || Buffer.isBuffer(value) ? [] : value;
}

/** `index` counts fields depth first. */
function mutateAt(
  fields: readonly WireField[],
  mutation: Mutation,
  index: number,
): readonly WireField[] {
  let before = 0;
  for (const [i, field] of fields.entries()) {
    const inner = nested(field.value);
    const innerCount = countFields(inner);
    if (index === before) return broken(fields, i, field, mutation);
    if (index <= before + innerCount) {
      const value = mutateAt(inner, mutation, index - before - 1);
      return fields.with(i, { ...field, value });
    }
    before += 1 + innerCount;
  }
  return fields;
}

function broken(
  fields: readonly WireField[],
  i: number,
  field: WireField,
  { kind, how }: Mutation,
): readonly WireField[] {
  switch (kind) {
    case 'duplicate':
      return fields.toSpliced(how % (fields.length + 1), 0, field);
    case 'drop':
      return fields.toSpliced(i, 1);
    case 'swap':
      return fields.toSpliced(i, 1).toSpliced(how % fields.length, 0, field);
    case 'unknown field':
      return fields.toSpliced(i, 0, unknownField(how));
    case 'other number':
      return fields.with(i, { ...field, number: how % 20 });
    case 'other type':
      return fields.with(i, otherType(field, how));
    case 'group':
      return fields.toSpliced(i, 1, ...group(field));
    case 'pad tag':
      return fields.with(i, { ...field, tagPad: 1 + (how % 5) });
    case 'pad value':
      return fields.with(i, { ...field, valuePad: 1 + (how % 10) });
    case 'lie about length':
      return fields.with(i, { ...field, lengthLie: (how % 7) - 3 });
    case 'huge length':
      return fields.with(i, { ...field, lengthLie: 2 ** (20 + (how % 30)) });
    case 'huge number':
      return fields.with(i, {
        ...field,
        value: hugeNumbers[how % hugeNumbers.length] ?? 0n,
        type: 0,
      });
    case 'odd text':
      return fields.with(i, {
        ...field,
        value: Buffer.from(oddTexts[how % oddTexts.length] ?? ''),
      });
    case 'empty':
      return fields.with(i, {
        ...field,
        value: typeof field.value === 'bigint' ? 0n : Buffer.alloc(0),
      });
  }
}

function unknownField(how: number): WireField {
  const number = 5 + (how % 40);
  return how % 2 === 0 ? numberField(number, how) : bytesField(number, 'unknown');
}

function otherType(field: WireField, how: number): WireField {
  const { number } = field;
  switch (how % 4) {
    case 0:
      return numberField(number, how);
    case 1:
      return { number, type: 1, value: Buffer.alloc(8, how) };
    case 2:
      return { number, type: 5, value: Buffer.alloc(4, how) };
    default:
      return bytesField(number, 'bytes');
  }
}

function group(field: WireField): readonly WireField[] {
  const nothing = Buffer.alloc(0);
  const { number } = field;
  return [{ number, type: 3, value: nothing }, field, { number, type: 4, value: nothing }];
}

// One TypeScript file as the tidy tests see it: its text, what it imports and what it exports. A real parser reads it,
// so that neither a type-only import nor an import inside a type hides, and a string that looks like one is none.
import { globSync, readFileSync } from 'node:fs';
import { parseSync } from 'vite';

export interface SourceFile {
  /** Relative to the repository's root, with `/`. */
  readonly path: string;
  readonly lines: readonly string[];
  /** The same lines without what stands inside string and template literals: a message may be long. */
  readonly linesWithoutText: readonly string[];
  /** Numbers of the lines that hold a comment or a part of one. */
  readonly commentLines: ReadonlySet<number>;
  readonly imports: readonly Import[];
  /** Names that other files can see. */
  readonly exported: readonly string[];
  /** Every identifier that is called, dotted: `it.only`, `Date.now`. */
  readonly calls: readonly Call[];
  /** Line numbers of `export * from`. */
  readonly starExports: readonly number[];
  readonly functions: readonly FunctionShape[];
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

export interface Call {
  readonly name: string;
  readonly line: number;
  readonly argumentCount: number;
  readonly isNew: boolean;
}

export interface FunctionShape {
  readonly line: number;
  readonly lineCount: number;
}

export const root = new URL('../../', import.meta.url);

/** What is written by hand; generated code follows its generator. */
const sourceGlobs = ['{broker,cli,client,operator,bench,examples,proto,test}/**/*.ts', '*.ts'];
const notSource = /(^|\/)(node_modules|dist)\//;

export function sourcePaths(): readonly string[] {
  return globSync(sourceGlobs, { cwd: root, exclude: (path) => /^(node_modules|dist)$/.test(path) })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !notSource.test(path) && !path.endsWith('.d.ts'))
    .sort();
}

export function readSource(path: string): SourceFile {
  return parseSource(path, readFileSync(new URL(path, root), 'utf8'));
}

/** Throws when the text does not parse: an unread file must not pass. */
export function parseSource(path: string, text: string): SourceFile {
  const { program, comments, errors } = parseSync(path, text, { lang: 'ts', sourceType: 'module' });
  const [error] = errors;
  if (error !== undefined) throw new Error(`${path}: ${error.message}`);
  const lineAt = lineFinder(text);
  const seen = new Visit(lineAt);
  seen.visit(program);
  const commentLines = new Set<number>();
  for (const { start, end } of comments) {
    for (let line = lineAt(start); line <= lineAt(end); line++) commentLines.add(line);
  }
  const { imports, exported, calls, starExports, functions } = seen;
  return {
    path,
    lines: linesOf(text),
    linesWithoutText: linesOf(without(text, seen.textSpans)),
    commentLines,
    imports,
    exported,
    calls,
    starExports,
    functions,
  };
}

function linesOf(text: string): readonly string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** The text without the spans, in which only line ends stay. */
function without(text: string, spans: readonly Span[]): string {
  let rest = '';
  let at = 0;
  for (const { start, end } of [...spans].sort((a, b) => a.start - b.start)) {
    rest += text.slice(at, start) + text.slice(start, end).replace(/[^\n]/g, '');
    at = end;
  }
  return rest + text.slice(at);
}

interface Span {
  readonly start: number;
  readonly end: number;
}

type Syntax = Readonly<Record<string, unknown>>;

/** Collects, over every node of the tree, what a SourceFile lists. */
class Visit {
  readonly imports: Import[] = [];
  readonly exported: string[] = [];
  readonly calls: Call[] = [];
  readonly starExports: number[] = [];
  readonly functions: FunctionShape[] = [];
  readonly textSpans: Span[] = [];
  readonly #lineAt: (position: number) => number;

  constructor(lineAt: (position: number) => number) {
    this.#lineAt = lineAt;
  }

  visit(value: unknown): void {
    if (Array.isArray(value)) {
      for (const item of value) this.visit(item);
    } else if (isSyntax(value)) {
      this.#take(value);
      for (const child of Object.values(value)) this.visit(child);
    }
  }

  #take(node: Syntax): void {
    const span = { start: Number(node['start']), end: Number(node['end']) };
    const line = this.#lineAt(span.start);
    switch (node['type']) {
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
      case 'ExportAllDeclaration':
      case 'ImportExpression':
      case 'TSImportType':
      case 'TSExternalModuleReference':
        this.#takeModule(node, line);
        break;
      case 'CallExpression':
      case 'NewExpression':
        this.#takeCall(node, line);
        break;
      case 'FunctionDeclaration':
      case 'FunctionExpression':
      case 'ArrowFunctionExpression':
        this.functions.push({ line, lineCount: this.#lineAt(span.end) - line + 1 });
        break;
      case 'TemplateElement':
        this.textSpans.push(span);
        break;
      case 'Literal':
        if (typeof node['value'] === 'string') this.textSpans.push(span);
        break;
    }
  }

  #takeModule(node: Syntax, line: number): void {
    const source = node['source'] ?? node['expression'];
    if (isSyntax(source)) {
      // A specifier that is computed cannot be checked; it is reported as it stands, and is no layer's.
      this.imports.push({ specifier: textOf(source['value']) ?? '(computed)', line });
    }
    if (node['type'] === 'ExportAllDeclaration') this.starExports.push(line);
    if (node['type'] === 'ExportNamedDeclaration') {
      collectNames(node['declaration'], this.exported);
      if (Array.isArray(node['specifiers'])) {
        for (const specifier of node['specifiers']) {
          if (isSyntax(specifier)) collectNames(specifier['exported'], this.exported);
        }
      }
    }
  }

  #takeCall(node: Syntax, line: number): void {
    const name = dottedName(node['callee']);
    if (name === undefined) return;
    const { arguments: given } = node;
    this.calls.push({
      name,
      line,
      argumentCount: Array.isArray(given) ? given.length : 0,
      isNew: node['type'] === 'NewExpression',
    });
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function isSyntax(value: unknown): value is Syntax {
  return typeof value === 'object' && value !== null;
}

/** `a.b.c` of an expression of names, calls in between left out; undefined for anything else. */
function dottedName(node: unknown): string | undefined {
  if (!isSyntax(node)) return undefined;
  if (node['type'] === 'Identifier') return String(node['name']);
  if (node['type'] === 'CallExpression') return dottedName(node['callee']);
  if (node['type'] !== 'MemberExpression') return undefined;
  const object = dottedName(node['object']);
  const property = node['property'];
  if (object === undefined || !isSyntax(property)) return undefined;
  return `${object}.${textOf(property['name']) ?? textOf(property['value']) ?? '?'}`;
}

/** Names that a declaration or a pattern declares. */
function collectNames(node: unknown, names: string[]): void {
  if (!isSyntax(node)) return;
  switch (node['type']) {
    case 'Identifier':
      names.push(String(node['name']));
      break;
    case 'VariableDeclaration':
      for (const one of listOf(node['declarations'])) collectNames(one['id'], names);
      break;
    case 'ArrayPattern':
      for (const one of listOf(node['elements'])) collectNames(one, names);
      break;
    case 'ObjectPattern':
      for (const one of listOf(node['properties'])) collectNames(one['value'], names);
      break;
    default:
      collectNames(node['id'], names);
  }
}

function listOf(value: unknown): readonly Syntax[] {
  return Array.isArray(value) ? value.filter(isSyntax) : [];
}

function lineFinder(text: string): (position: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return (position) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= position) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  };
}

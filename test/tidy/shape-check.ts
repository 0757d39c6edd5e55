// The shape of a file: what the style guide says and neither the compiler, the formatter nor the linter can see.
import { layerOf } from './layers.ts';
import type { SourceFile } from './source-file.ts';

/** A file is one idea. */
const linesMax = 500;
/** The formatter keeps code below it. What is inside a string does not count: a message is one line to search for. */
const codeColumnsMax = 100;
/** Prose is written by hand. */
const commentColumnsMax = 120;
/** Tests are tables: a `describe` may be as long as its cases. */
const functionLinesMax = 70;

/** Words that say nothing; the replacement is the noun that the thing is. */
const emptyWords = new Set(['Manager', 'Helper', 'Helpers', 'Util', 'Utils', 'Impl']);
const emptyNames = /^(data|info|Base.+|.+Base)$/;

/** The only file that may decide that a test does not run: it says why, and throws on CI. */
const skippingFile = 'test/support/needs.ts';
const testRegistrar = /^(it|test|describe|suite)\b.*\.(only|skip|skipIf|runIf|todo|fails)\b/;
const contextSkip = /^((context|ctx|task)\.)?skip$/;

/** Where the wall clock and the timers are read; all others take a Clock. */
const clockFiles = new Set(['broker/core/clock.ts', 'broker/core/random.ts', 'broker/main.ts']);
const throughGlobalThis =
  /^globalThis\.(Date|performance|setTimeout|setInterval|Math\.random)(\.|$)/;

/** One sentence per fault, with file and line. */
export function shapeFaults(file: SourceFile): readonly string[] {
  const layer = layerOf(file.path);
  if (layer === 'proto') return [];
  return [
    ...lengthFaults(file, layer === 'test'),
    ...nameFaults(file),
    ...file.starExports.map((line) => `${file.path}:${line}: export names, not *`),
    ...(layer === 'test' ? skipFaults(file) : clockFaults(file)),
  ];
}

function lengthFaults(file: SourceFile, isTest: boolean): readonly string[] {
  const { path, lines, linesWithoutText, commentLines, functions } = file;
  const faults: string[] = [];
  if (lines.length > linesMax) {
    faults.push(`${path}: ${lines.length} lines, over ${linesMax}; split it by idea`);
  }
  linesWithoutText.forEach((line, index) => {
    const columnsMax = commentLines.has(index + 1) ? commentColumnsMax : codeColumnsMax;
    if (line.length > columnsMax) {
      faults.push(
        `${path}:${index + 1}: ${line.length} columns, over ${columnsMax}; break the line`,
      );
    }
  });
  for (const { line, lineCount } of isTest ? [] : functions) {
    if (lineCount > functionLinesMax) {
      faults.push(`${path}:${line}: a function of ${lineCount} lines, over ${functionLinesMax}`);
    }
  }
  return faults;
}

function nameFaults({ path, exported }: SourceFile): readonly string[] {
  const fileName = path.slice(path.lastIndexOf('/') + 1);
  const faults: string[] = [];
  if (!/^[a-z0-9]+([.-][a-z0-9]+)*\.ts$/.test(fileName)) {
    faults.push(`${path}: file names are kebab-case`);
  }
  const stem = fileName.split('.')[0] ?? '';
  const asIdentifier = stem
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
  if (isEmptyName(asIdentifier) || isEmptyName(stem)) {
    faults.push(`${path}: the file's name says nothing; name it by the noun inside it`);
  }
  for (const name of exported.filter(isEmptyName)) {
    faults.push(`${path}: ${name} says nothing; name it by the noun that it is`);
  }
  return faults;
}

function isEmptyName(name: string): boolean {
  const words = name.split(/(?=[A-Z])/);
  return emptyNames.test(name) || words.some((word) => emptyWords.has(capitalized(word)));
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function skipFaults({ path, calls }: SourceFile): readonly string[] {
  if (path === skippingFile) return [];
  const skips = calls.filter(({ name }) => testRegistrar.test(name) || contextSkip.test(name));
  return [...new Set(skips.map(({ line, name }) => `${path}:${line}: ${name}`))].map(
    (place) => `${place}: a test runs, or says in ${skippingFile} what it lacks`,
  );
}

/** What the linter's ban of clocks does not see. */
function clockFaults({ path, calls }: SourceFile): readonly string[] {
  if (!path.startsWith('broker/') || clockFiles.has(path)) return [];
  return calls
    .filter(({ name, isNew, argumentCount }) => {
      return throughGlobalThis.test(name) || (isNew && name === 'Date' && argumentCount === 0);
    })
    .map(({ line, name }) => `${path}:${line}: ${name}; take a Clock (broker/core/clock.ts)`);
}

// Versions of Node.js that a broker may run on: HTTP/2 is Node's, and so are its holes. None below has a work-around.
import { BrokerError } from './core/errors.ts';

/**
 * Of each release line the first without a known way to exhaust or corrupt an HTTP/2 server's memory from outside:
 * CVE-2026-21714 (a session leaks at an overflow of its window), CVE-2026-48937 (data after GOAWAY is taken),
 * CVE-2026-56846 (headers that evade the limit of session memory), CVE-2026-56848 (use after free). Lines that are not
 * named and older than the newest of these get no fixes any more.
 */
const firstSafe: ReadonlyMap<number, string> = new Map([
  [22, '22.23.2'],
  [24, '24.18.1'],
  [26, '26.5.1'],
]);

/** `version`: as in `process.version`. Throws NODE_UNSAFE. */
export function checkNodeVersion(version: string): void {
  const [major = 0, minor = 0, patch = 0] = numbers(version);
  if (major > Math.max(...firstSafe.keys())) return;
  const safe = firstSafe.get(major);
  const [, safeMinor = 0, safePatch = 0] = safe === undefined ? [] : numbers(safe);
  const isSafe =
    safe !== undefined && (minor > safeMinor || (minor === safeMinor && patch >= safePatch));
  if (isSafe) return;
  throw new BrokerError(
    'NODE_UNSAFE',
    `Node.js ${version} has known vulnerabilities in HTTP/2; run ${[...firstSafe.values()].join(', ')} or newer`,
    { metadata: { version } },
  );
}

function numbers(version: string): readonly number[] {
  return version.replace(/^v/, '').split('.').map(parseFloat);
}

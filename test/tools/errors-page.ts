// Prints docs/errors.md from the lists of reasons: `node test/tools/errors-page.ts > docs/errors.md`.
import { status } from '@grpc/grpc-js';
import {
  BrokerError,
  reasons,
  type ErrorKind,
  type ErrorReason,
} from '../../broker/core/errors.ts';
import { statusCode } from '../../broker/server/status.ts';
import { exitCodes } from '../../cli/exit.ts';
import { clientReasons } from '../../client/src/errors.ts';
import { markdownTable } from './markdown-table.ts';

const head = `# Errors

Printed from \`broker/core/errors.ts\` and \`client/src/errors.ts\` by \`node test/tools/errors-page.ts\`; change it there.

Every failure has a **reason** that is stable: decide on it, or on its kind, never on the message. A call that fails ends with a gRPC status
whose trailer \`grpc-status-details-bin\` is a \`google.rpc.Status\` with \`ErrorInfo\` (reason, domain \`millrace.dev\`, metadata) and, where
waiting helps, \`RetryInfo\`. One failed item of a stream that goes on, such as one append, is a \`millrace.v1.Error\` with the same facts.

\`effect\` says whether the operation may have happened: \`none\`, certainly not; \`unknown\`, perhaps. A publish with a publisher's name and
sequence may be repeated in both cases: the broker stores it once.
`;

/** What the caller does about each kind, as a sentence. */
const adviceByKind: Readonly<Record<ErrorKind, string>> = {
  invalid: 'Fix the request; the same one will fail again.',
  denied: 'Get other credentials or rights.',
  missing: 'Create it first, or correct the name.',
  conflict: 'Look at the current state, then decide again.',
  exhausted: 'Wait as long as `RetryInfo` says, or raise the limit that the metadata names.',
  unavailable: 'Retry with back-off; the SDK does so by itself.',
  corrupt: 'Stop. Stored bytes are wrong or missing, and a person must act.',
  internal: 'Report a bug, with the log of the broker.',
};

export function errorsPage(): string {
  const kinds = Object.keys(adviceByKind) as ErrorKind[];
  return [head, ...kinds.map(section), clientSection()].join('\n');
}

function section(kind: ErrorKind): string {
  const advice = `## ${kind}\n\n${adviceByKind[kind]} The command line exits with ${exitCodeOf(kind)}.\n`;
  const rows = (Object.keys(reasons) as ErrorReason[])
    .filter((reason) => reasons[reason][0] === kind)
    .map((reason) => [`\`${reason}\``, grpcCodeOf(reason), reasons[reason][1]]);
  if (rows.length === 0) return advice;
  return `${advice}\n${markdownTable([['reason', 'gRPC', 'meaning'], ...rows])}`;
}

function clientSection(): string {
  const rows = Object.entries(clientReasons)
    .filter(([reason]) => !(reason in reasons))
    .map(([reason, kind]) => [`\`${reason}\``, kind]);
  return `## Only from the SDK\n\nWhat never reached a broker, or whose answer never came back.\n\n${markdownTable([['reason', 'kind'], ...rows])}`;
}

function grpcCodeOf(reason: ErrorReason): string {
  return status[statusCode(new BrokerError(reason, ''))] ?? '';
}

function exitCodeOf(kind: ErrorKind): number {
  return kind === 'invalid' ? exitCodes.usage : exitCodes[kind];
}

if (import.meta.main) process.stdout.write(errorsPage());

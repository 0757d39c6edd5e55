// Log port. An event is a stable lower-case phrase; what varies goes into the fields.

export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Log {
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields & { readonly cause?: string }): void;
}

/** Says nothing; the default of tests. */
export const silentLog: Log = { info() {}, warn() {}, error() {} };

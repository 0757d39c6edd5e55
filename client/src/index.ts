// @millrace/client: everything that is public.
export { connect, type Client, type ConnectOptions } from './client.ts';
export { MillraceError, type ErrorEffect, type ErrorKind } from './errors.ts';

// What a call and its connection bring, for the authenticators.
import type { ServerUnaryCall } from '@grpc/grpc-js';
import { unauthenticated, type ClientCertificate, type Credentials } from '../access/identity.ts';

/** Any call of grpc-js. */
export type AnyCall = Pick<
  ServerUnaryCall<unknown, unknown>,
  'metadata' | 'getAuthContext' | 'getPeer'
>;

const bearerForm = /^Bearer +([^\s]+)$/i;

/** Throws UNAUTHENTICATED when there is a credential that cannot be read. */
export function credentialsOf(call: AnyCall): Credentials {
  return { bearer: bearerOf(call), certificate: certificateOf(call) };
}

function bearerOf(call: AnyCall): string | undefined {
  const values = call.metadata.get('authorization');
  const [value] = values;
  if (value === undefined) return undefined;
  const bearer = values.length === 1 ? bearerForm.exec(String(value))?.[1] : undefined;
  if (bearer === undefined) throw unauthenticated('`authorization` is not `Bearer` and one token');
  return bearer;
}

/** grpc-js answers it only when TLS has verified it against the CA of clients. */
function certificateOf(call: AnyCall): ClientCertificate | undefined {
  const { sslPeerCertificate: certificate } = call.getAuthContext();
  if (certificate === undefined) return undefined;
  const names: string | readonly string[] | undefined = certificate.subject?.CN;
  return {
    commonNames: names === undefined ? [] : typeof names === 'string' ? [names] : names,
    validToMs: Date.parse(certificate.valid_to),
  };
}

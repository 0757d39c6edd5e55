// TLS client certificates: the principal is the common name of the subject. The chain was verified by TLS before.
import { certificatePrincipal } from '../catalog/principal.ts';
import type { Authenticator, Credentials, Identity } from './identity.ts';
import { unauthenticated } from './identity.ts';

export class ClientCertificates implements Authenticator {
  authenticate({ certificate }: Credentials, nowMs: number): Identity | undefined {
    if (certificate === undefined) return undefined;
    const { commonNames, validToMs } = certificate;
    const [commonName = ''] = commonNames;
    // Of several common names each library takes another one.
    const principal = commonNames.length === 1 ? certificatePrincipal(commonName) : undefined;
    if (principal === undefined) {
      throw unauthenticated(
        'a client certificate has exactly one common name, of at most 500 bytes',
      );
    }
    if (!(validToMs > nowMs)) throw unauthenticated('the client certificate has expired');
    return { principal, expiresAtMs: validToMs, isValid: () => true };
  }
}

// Certificates that nobody may take for that of `localhost`, and what a refusal of each says.
import type { Certificate } from './certificates.ts';
import type { TlsDirectory } from './tls-directory.ts';

const dayMs = 24 * 3600 * 1000;

export const expired = { notBefore: new Date(0), notAfter: new Date(Date.now() - dayMs) };
export const notYetValid = { notBefore: new Date(Date.now() + dayMs) };

export interface WrongCertificate {
  readonly what: string;
  readonly certificate: (files: TlsDirectory) => Certificate;
  /** What the SDK says to who trusts the CA of the directory. */
  readonly sdkSays: RegExp;
  /** What Node's code for it is. */
  readonly code: string;
  /** What a request over https says. */
  readonly requestSays: RegExp;
}

const wrongHost = 'ERR_TLS_CERT_ALTNAME_INVALID';

export const wrongCertificates: readonly WrongCertificate[] = [
  {
    what: 'without a host',
    certificate: ({ ca }) => ca.issue({ commonNames: ['127.0.0.1'] }),
    sdkSays: /not for/,
    code: wrongHost,
    requestSays: /no alternative names, and localhost was asked for/,
  },
  {
    what: 'with the host as its common name only',
    certificate: ({ ca }) => ca.issue({ commonNames: ['localhost'] }),
    sdkSays: /not for localhost but for nobody/,
    code: wrongHost,
    requestSays: /no alternative names, and localhost was asked for/,
  },
  {
    what: 'for another host',
    certificate: ({ ca }) => ca.issueServer({ hosts: ['other.example'] }),
    sdkSays: /not for/,
    code: wrongHost,
    requestSays: /localhost.*altnames.*other\.example/,
  },
  {
    what: 'of another CA',
    certificate: ({ clientCa }) => clientCa.issueServer(),
    sdkSays: /unable to verify|self-signed|issuer/,
    code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    requestSays: /unable to verify the first certificate/,
  },
  {
    what: 'that has expired',
    certificate: ({ ca }) => ca.issueServer(expired),
    sdkSays: /expired/,
    code: 'CERT_HAS_EXPIRED',
    requestSays: /certificate has expired/,
  },
  {
    what: 'that is not valid yet',
    certificate: ({ ca }) => ca.issueServer(notYetValid),
    sdkSays: /not yet valid/,
    code: 'CERT_NOT_YET_VALID',
    requestSays: /certificate is not yet valid/,
  },
];

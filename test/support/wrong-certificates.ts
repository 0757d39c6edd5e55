// Certificates that nobody may take for that of `localhost`, and what a refusal of each says.
import type { Certificate } from './certificates.ts';
import type { TlsDirectory } from './tls-directory.ts';

const dayMs = 24 * 3600 * 1000;

export const expired = { notBefore: new Date(0), notAfter: new Date(Date.now() - dayMs) };
export const notYetValid = { notBefore: new Date(Date.now() + dayMs) };

/** As whoever trusts the CA of the directory says it, in words or in Node's code. */
export const wrongCertificates: readonly (readonly [
  what: string,
  certificate: (files: TlsDirectory) => Certificate,
  said: RegExp,
])[] = [
  [
    'without a host',
    ({ ca }) => ca.issue({ commonNames: ['127.0.0.1'] }),
    /not for|ALTNAME|altnames|no alternative names/,
  ],
  [
    'with the host as its common name only',
    ({ ca }) => ca.issue({ commonNames: ['localhost'] }),
    /not for localhost but for nobody|ALTNAME|altnames|no alternative names/,
  ],
  [
    'for another host',
    ({ ca }) => ca.issueServer({ hosts: ['other.example'] }),
    /not for|ALTNAME|altnames|no alternative names/,
  ],
  ['of another CA', ({ clientCa }) => clientCa.issueServer(), /unable to|UNABLE_TO/],
  ['that has expired', ({ ca }) => ca.issueServer(expired), /expired/i],
  ['that is not valid yet', ({ ca }) => ca.issueServer(notYetValid), /not yet valid|NOT_YET_VALID/],
];

// Whether a certificate is for the host that was asked for. As RFC 9525, 6.3 has it the common name says nothing about
// that; Node takes it for the host where a certificate has no alternative names.
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** For the option of the same name of TLS: undefined when it is, else what is wrong, with Node's code. */
export function hostFault(host: string, certificate: PeerCertificate): Error | undefined {
  if (certificate.subjectaltname !== undefined) return checkServerIdentity(host, certificate);
  const text = `the certificate is for no host: it has no alternative names, and ${host} was asked for`;
  return Object.assign(new Error(text), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
}

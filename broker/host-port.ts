// Network addresses as people write them: HOST:PORT, with an IPv6 host in brackets.
import { BlockList, isIP, isIPv6 } from 'node:net';

export interface HostPort {
  /** An IP address without brackets, or a host name. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

const hostName = /^(?=.{1,253}$)[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/;
/** All digits and dots, but not an address: a mistyped one, never a name. */
const numeric = /^[0-9.]+$/;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Undefined: not an address. */
export function parseHostPort(text: string): HostPort | undefined {
  const [, bracketed, plain, digits] =
    /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (digits === undefined || port > 65_535) return undefined;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : undefined;
  const host = plain ?? '';
  if (isIP(host) === 0 && (numeric.test(host) || !hostName.test(host))) return undefined;
  return { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Only this machine can reach it. A name other than `localhost` may mean anything. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return host.toLowerCase() === 'localhost';
  return loopback.check(host, version === 6 ? 'ipv6' : 'ipv4');
}

// What the first bytes of a connection must be, read before anything is made of it. A client of HTTP/2 sends its
// preface and settings without waiting for the server (RFC 9113, 3.4), one of TLS its hello (RFC 8446, 4); whoever
// sends something else, or less, is not worth a session.
import { constants } from 'node:http2';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const frameHeaderBytes = 9;
const settingsType = 4;
/** Nobody may send larger frames before the server has said so. */
const settingsBytesMax = constants.DEFAULT_SETTINGS_MAX_FRAME_SIZE;

const recordHeaderBytes = 5;
const handshakeType = 22;
const tlsMajorVersion = 3;
const recordBytesMax = 16 * 1024;

/** `more`: right so far. */
export type FirstBytes = 'begun' | 'more' | 'wrong';

/** Begun: preface and settings are whole. What is in the settings is for HTTP/2 to judge. */
export function http2Begins(bytes: Buffer): FirstBytes {
  const known = Math.min(bytes.length, preface.length);
  if (bytes.compare(preface, 0, known, 0, known) !== 0) return 'wrong';
  if (bytes.length < preface.length + frameHeaderBytes) return 'more';
  const length = bytes.readUIntBE(preface.length, 3);
  if (bytes[preface.length + 3] !== settingsType || length > settingsBytesMax) return 'wrong';
  return bytes.length >= preface.length + frameHeaderBytes + length ? 'begun' : 'more';
}

/** Begun: the first record of the handshake is whole. */
export function tlsBegins(bytes: Buffer): FirstBytes {
  if (bytes.length > 0 && bytes[0] !== handshakeType) return 'wrong';
  if (bytes.length > 1 && bytes[1] !== tlsMajorVersion) return 'wrong';
  if (bytes.length < recordHeaderBytes) return 'more';
  const length = bytes.readUInt16BE(3);
  if (length === 0 || length > recordBytesMax) return 'wrong';
  return bytes.length >= recordHeaderBytes + length ? 'begun' : 'more';
}

import { describe, expect, it } from 'vitest';
import { describeLocation, parseStoreUrl } from '../../broker/objects/store-location.ts';
import { reasonOf } from '../support/reason-of.ts';

describe('the URL of an object store', () => {
  it('is a directory, or a bucket with a prefix at an endpoint', () => {
    expect(parseStoreUrl('file:///var/lib/millrace')).toEqual({
      kind: 'directory',
      path: '/var/lib/millrace',
    });
    expect(parseStoreUrl('s3://logs/a/b?endpoint=http://minio:9000&region=eu-1')).toEqual({
      kind: 's3',
      bucket: 'logs',
      prefix: 'a/b',
      host: 'minio',
      port: 9000,
      tls: false,
      region: 'eu-1',
      pathStyle: true,
    });
    expect(parseStoreUrl('s3://logs')).toMatchObject({
      prefix: '',
      host: 's3.us-east-1.amazonaws.com',
      port: 443,
      tls: true,
      pathStyle: false,
    });
  });

  it.each([
    'file:///a%20b',
    's3://logs/a?endpoint=https://minio:9443&region=x&path-style=false',
    's3://logs',
  ])('%s reads back from its description', (url) => {
    const location = parseStoreUrl(url);
    expect(parseStoreUrl(describeLocation(location))).toEqual(location);
  });

  it.each([
    '',
    'objects',
    'http://minio:9000/bucket',
    'file://host/path',
    'file:///path?x=1',
    's3://',
    's3://UPPER',
    's3://a',
    's3://bucket/.hidden',
    's3://bucket/a//b',
    's3://bucket?endpoint=minio:9000',
    's3://bucket?endpoint=ftp://minio',
    's3://bucket?region=A B',
    's3://bucket?path-style=yes',
    's3://bucket?secret=x',
  ])('is refused: %s', (url) => {
    expect(reasonOf(() => parseStoreUrl(url))).toBe('SETTING_INVALID');
  });

  it('with credentials is refused without showing them', () => {
    const parse = (): unknown => parseStoreUrl('s3://me:hidden@bucket/x');
    expect(reasonOf(parse)).toBe('SETTING_INVALID');
    expect(parse).not.toThrow(/hidden/);
  });
});

import { describe, expect, it } from 'vitest';
import { describeLocation, parseStoreUrl } from '../../broker/objects/store-location.ts';
import { errorOf } from '../support/reason-of.ts';

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
    's3://my.logs/a/b-c?region=eu-central-1',
    's3://logs?endpoint=http://[::1]:9000',
    's3://logs?endpoint=http://object_store:9000',
  ])('%s reads back from its description', (url) => {
    const location = parseStoreUrl(url);
    expect(parseStoreUrl(describeLocation(location))).toEqual(location);
  });

  it.each([
    ['nothing', ''],
    ['no URL', '/var/lib/objects'],
    ['another scheme', 'http://minio:9000/bucket'],
    ['a relative path', 'file:objects'],
    ['a host before the path', 'file://host/path'],
    ['an encoded slash in a path', 'file:///a%2Fb'],
    ['parameters of a path', 'file:///path?x=1'],
    ['no bucket', 's3:///prefix'],
    ['capital letters in a bucket', 's3://UPPER'],
    ['a bucket of two letters', 's3://ab'],
    ['a bucket of 64 letters', `s3://${'a'.repeat(64)}`],
    ['a bucket with an empty label', 's3://a..b'],
    ['a bucket with a broken label', 's3://a-.b'],
    ['an address as bucket', 's3://192.168.1.10'],
    ['a port behind the bucket', 's3://bucket:9000'],
    ['a part with a leading dot', 's3://bucket/a/.hidden'],
    ['an empty part', 's3://bucket/a//b'],
    ['a space in a prefix', 's3://bucket/a%20b'],
    ['a prefix of 201 letters', `s3://bucket/${'a'.repeat(201)}`],
    ['a misspelt parameter', 's3://bucket?endpont=http://minio:9000'],
    ['a parameter twice', 's3://bucket?region=a&region=b'],
    ['an empty region', 's3://bucket?region='],
    ['a space in a region', 's3://bucket?region=A B'],
    ['an endpoint without scheme', 's3://bucket?endpoint=minio:9000'],
    ['an endpoint of another scheme', 's3://bucket?endpoint=ftp://minio'],
    ['an endpoint with a path', 's3://bucket?endpoint=http://minio:9000/s3'],
    ['an endpoint with a query', 's3://bucket?endpoint=http://minio:9000/?a=b'],
    ['port 0', 's3://bucket?endpoint=http://minio:0'],
    ['a path style that is neither', 's3://bucket?path-style=yes'],
    ['a fragment', 's3://bucket/a#b'],
  ])('with %s is refused: %s', (_, url) => {
    const error = errorOf(() => parseStoreUrl(url));
    expect(error?.reason).toBe('SETTING_INVALID');
    expect(error?.metadata['setting']).toBe('object-store');
  });

  it.each([
    's3://key:hunter2@bucket/x',
    's3://bucket?endpoint=http://key:hunter2@minio:9000',
    's3://bucket?secret-key=hunter2',
    's3://bucket#hunter2',
    'hunter2@bucket',
  ])('with credentials is refused without showing them: %s', (url) => {
    const error = errorOf(() => parseStoreUrl(url));
    expect(error?.reason).toBe('SETTING_INVALID');
    expect(error?.message).not.toContain('hunter2');
  });
});

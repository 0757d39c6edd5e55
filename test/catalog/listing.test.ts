import { expect, it } from 'vitest';
import type { Page } from '../../broker/catalog/page.ts';
import { reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

function allPages<T>(page: (token: string) => Page<T>): T[] {
  const items: T[] = [];
  let token = '';
  do {
    const answer = page(token);
    items.push(...answer.items);
    token = answer.nextPageToken;
  } while (token !== '');
  return items;
}

function catalogOf(...names: readonly string[]): CatalogFixture {
  const catalog = new CatalogFixture();
  for (const name of names) catalog.applyTopic(name);
  return catalog;
}

it.each([1, 2, 3, 4, 1000])('lists every topic once, in order, in pages of %i', (pageSize) => {
  const { state } = catalogOf('b', 'public/z/b', 'a', 'public/a/x', 'c');
  const names = allPages((pageToken) => state.listTopics('', { pageSize, pageToken })).map(
    (topic) => topic.name.full,
  );
  expect(names).toEqual([
    'public/a/x',
    'public/default/a',
    'public/default/b',
    'public/default/c',
    'public/z/b',
  ]);
});

it('lists a prefix only', () => {
  const { state } = catalogOf('a', 'ab', 'b', 'public/default2/a');
  const list = (prefix: string): string[] =>
    allPages((pageToken) => state.listTopics(prefix, { pageSize: 1, pageToken })).map(
      (topic) => topic.name.topic,
    );
  expect(list('public/default/')).toEqual(['a', 'ab', 'b']);
  expect(list('public/default/a')).toEqual(['a', 'ab']);
  expect(list('public/default/zz')).toEqual([]);
});

it('goes on behind the last name when topics come and go between pages', () => {
  const catalog = catalogOf('a', 'b', 'c', 'd');
  const first = catalog.state.listTopics('', { pageSize: 2 });
  catalog.deleteTopic('b');
  catalog.applyTopic('aa');
  catalog.applyTopic('bb');
  const rest = catalog.state.listTopics('', { pageSize: 9, pageToken: first.nextPageToken });
  expect(rest.items.map((topic) => topic.name.topic)).toEqual(['bb', 'c', 'd']);
});

it('says that a full page was the last one', () => {
  expect(catalogOf('a', 'b').state.listTopics('', { pageSize: 2 }).nextPageToken).toBe('');
});

it('refuses page sizes out of range and tokens of its own making', () => {
  const { state } = catalogOf('a');
  for (const pageSize of [-1, 1.5, 1001]) {
    expect(reasonOf(() => state.listTopics('', { pageSize }))).toBe('ARGUMENT_INVALID');
  }
  for (const pageToken of ['*', 'a b', 'YQ==', 'Y']) {
    expect(reasonOf(() => state.listTopics('', { pageToken }))).toBe('ARGUMENT_INVALID');
  }
});

it('lists subscriptions of one topic only, in order', () => {
  const catalog = catalogOf('a', 'b');
  for (const name of ['z', 'y', 'x']) catalog.applySubscription('a', name, { kind: 'queue' });
  const other = catalog.applySubscription('b', 'y', { kind: 'queue' });
  const { topic } = catalog.applyTopic('a');
  const list = (id: typeof topic.id): string[] =>
    allPages((pageToken) => catalog.state.listSubscriptions(id, { pageSize: 2, pageToken })).map(
      (subscription) => subscription.name,
    );
  expect(list(topic.id)).toEqual(['x', 'y', 'z']);
  expect(list(other.topic.id)).toEqual(['y']);
});

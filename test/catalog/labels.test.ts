import { describe, expect, it } from 'vitest';
import { errorOf, reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

const many = (count: number) =>
  new Map(Array.from({ length: count }, (_, i) => [`l${i}`, 'x'] as const));

describe('labels', () => {
  it('are changed one by one, told one by one, and taken away by an empty text', () => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('a', { labels: new Map([['team', 'orders']]) });
    const more = catalog.applyTopic('a', { labels: new Map([['by/tool', 'x']]) });
    expect(more.changes).toEqual(['labels.by/tool: none -> x']);
    expect([...more.topic.spec.labels]).toEqual([
      ['by/tool', 'x'],
      ['team', 'orders'],
    ]);
    const less = catalog.applyTopic('a', { labels: new Map([['team', '']]) });
    expect(less.changes).toEqual(['labels.team: orders -> none']);
    expect([...less.topic.spec.labels.keys()]).toEqual(['by/tool']);
    expect(catalog.applyTopic('a', { labels: new Map([['team', '']]) }).events).toEqual([]);
  });

  it('of tenants are as those of topics', () => {
    const catalog = new CatalogFixture();
    const { changes } = catalog.applyTenant('acme', { labels: new Map([['team', 'orders']]) });
    expect(changes).toEqual(['create tenant acme: labels.team orders']);
    const gone = catalog.applyTenant('acme', { labels: new Map([['team', '']]) });
    expect(gone.changes).toEqual(['labels.team: orders -> none']);
  });

  it.each([
    ['a name with a space', new Map([['a b', 'x']])],
    ['a name that begins with a slash', new Map([['/a', 'x']])],
    ['an empty name', new Map([['', 'x']])],
    ['a text beyond 256 characters', new Map([['a', 'x'.repeat(257)]])],
    ['a text with a line end', new Map([['a', 'x\n']])],
    ['more than 16', many(17)],
  ])('refuse %s', (_, labels) => {
    expect(reasonOf(() => new CatalogFixture().applyTopic('a', { labels }))).toBe('SPEC_INVALID');
  });

  it('may be 16, counted with those that are there', () => {
    const catalog = new CatalogFixture();
    catalog.applyTopic('a', { labels: many(16) });
    const error = errorOf(() => catalog.applyTopic('a', { labels: new Map([['other', 'x']]) }));
    expect(error?.metadata).toMatchObject({ field: 'labels' });
  });
});

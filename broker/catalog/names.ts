// Names as callers write them. The rules stand in the header of record.proto.
//
// Invariant: what a parse function answers is canonical: two names are the same thing exactly when their texts are
// equal, and none can act as a path (`..`), an option (`-x`) or an internal publisher (`~dead/...`).
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';

declare const brand: unique symbol;
type Name<B extends string> = string & { readonly [brand]: B };

export type TenantName = Name<'tenant'>;
export type NamespaceName = Name<'namespace'>;
export type SubscriptionName = Name<'subscription'>;
export type PublisherName = Name<'publisher'>;
export type ConsumerName = Name<'consumer'>;

/** Made by `parseTopicName` only. */
export interface TopicName {
  readonly tenant: TenantName;
  readonly namespace: NamespaceName;
  readonly topic: string;
  /** `tenant/namespace/topic`. */
  readonly full: string;
}

/** Where a name without slashes lives. */
export const defaultTenant = 'public' as TenantName;
const defaultNamespace = 'default';

const namePart = new RegExp(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,${limits.nameBytesMax - 1}}$`);
const namePartRule =
  `is 1 to ${limits.nameBytesMax} characters of a-z, A-Z, 0-9, ".", "_", "-" ` +
  'and starts with a letter or digit';
const printable = new RegExp(`^[\\x20-\\x7e]{1,${limits.nameBytesMax}}$`);
const printableRule = `is 1 to ${limits.nameBytesMax} printable ASCII characters`;

/** Of a tenant, a namespace, a topic, a subscription, a token. */
export function isNamePart(text: string): boolean {
  return namePart.test(text);
}

/** `field`: what it is the name of. Throws NAME_INVALID. */
export function parseNamePart(field: string, text: string): string {
  if (!namePart.test(text)) throw nameInvalid(field, text, namePartRule);
  return text;
}

/** Reads `tenant/namespace/topic` or `topic`, which means `public/default/topic`. Throws NAME_INVALID. */
export function parseTopicName(text: string): TopicName {
  const parts = text.split('/', 4);
  const [first = '', second = '', third = ''] = parts;
  if (parts.length === 1 && namePart.test(first)) {
    return topicName(defaultTenant, defaultNamespace, first);
  }
  if (parts.length === 3 && parts.every((part) => namePart.test(part))) {
    return topicName(first, second, third);
  }
  throw nameInvalid(
    'topic',
    text,
    `is "topic" or "tenant/namespace/topic", and each part ${namePartRule}`,
  );
}

/** Throws NAME_INVALID. */
export function parseTenantName(text: string): TenantName {
  if (!namePart.test(text)) throw nameInvalid('tenant', text, namePartRule);
  return text as TenantName;
}

/** Throws NAME_INVALID. */
export function parseNamespaceName(text: string): NamespaceName {
  if (!namePart.test(text)) throw nameInvalid('namespace', text, namePartRule);
  return text as NamespaceName;
}

/** Throws NAME_INVALID. */
export function parseSubscriptionName(text: string): SubscriptionName {
  if (!namePart.test(text)) throw nameInvalid('subscription', text, namePartRule);
  return text as SubscriptionName;
}

/** A name that a client chose. Those with a leading `~` are the broker's own. Throws NAME_INVALID. */
export function parsePublisherName(text: string): PublisherName {
  if (!printable.test(text) || text.startsWith('~')) {
    throw nameInvalid('publisher', text, `${printableRule} without a leading "~"`);
  }
  return text as PublisherName;
}

/** Throws NAME_INVALID. */
export function parseConsumerName(text: string): ConsumerName {
  if (!printable.test(text)) throw nameInvalid('consumer', text, printableRule);
  return text as ConsumerName;
}

function topicName(tenant: string, namespace: string, topic: string): TopicName {
  return {
    tenant: tenant as TenantName,
    namespace: namespace as NamespaceName,
    topic,
    full: `${tenant}/${namespace}/${topic}`,
  };
}

function nameInvalid(field: string, value: string, rule: string): BrokerError {
  return new BrokerError(
    'NAME_INVALID',
    `${field} name ${quoted(value)} is not valid: a ${field} name ${rule}`,
    { metadata: { field, value: quoted(value) } },
  );
}

// Who manages what: labels at the broker that name the object. Pure.
//
// Invariant: what carries no label of an object is that object's only when it says `adopt`; so is what carries the
// label of an object that is not there.
import type { KubeObject } from '../kube/resource.ts';

export type Labels = Readonly<Record<string, string>>;

const uidLabel = 'millrace.dev/managed-by-uid';
const objectLabel = 'millrace.dev/managed-by';

/** The longest: `Topic/`, a namespace of 63, a slash, a name of 128. */
export function ownerLabels({ kind, metadata }: KubeObject): Labels {
  const { namespace, name, uid } = metadata;
  const path = namespace === undefined ? name : `${namespace}/${name}`;
  return { [objectLabel]: `${kind}/${path}`, [uidLabel]: uid };
}

/** Takes the labels of any object away. */
export const noOwnerLabels: Labels = { [objectLabel]: '', [uidLabel]: '' };

export function isOwnedBy(labels: Labels, { metadata }: KubeObject): boolean {
  return labels[uidLabel] === metadata.uid;
}

export type Claim =
  | { readonly kind: 'own' }
  /** It is not there yet, or it may be taken over. */
  | { readonly kind: 'free' }
  | {
      readonly kind: 'refused';
      readonly reason: 'NotAdopted' | 'Conflict';
      readonly message: string;
    };

export interface Claimant {
  readonly object: KubeObject;
  readonly adopt: boolean;
  /** Of other objects that are there, describe the same, and give way to this one. */
  readonly givingWay: ReadonlySet<string>;
}

/** `labels`: of what is at the broker; undefined: nothing is. */
export function claimOf({ object, adopt, givingWay }: Claimant, labels: Labels | undefined): Claim {
  if (labels === undefined) return { kind: 'free' };
  if (isOwnedBy(labels, object)) return { kind: 'own' };
  const owner = labels[uidLabel];
  if (adopt || (owner !== undefined && givingWay.has(owner))) return { kind: 'free' };
  if (owner === undefined) {
    return {
      kind: 'refused',
      reason: 'NotAdopted',
      message:
        'it exists already and no object manages it; set adopt: true to take it over as it is',
    };
  }
  return {
    kind: 'refused',
    reason: 'Conflict',
    message:
      `it is managed by ${labels[objectLabel] ?? 'another object'} with uid ${owner}; ` +
      'if that object is gone, set adopt: true to take it over',
  };
}

/** What has to change so that the broker has exactly these labels. */
export function labelDifference(desired: Labels, said: Labels): Labels {
  const patch: Record<string, string> = {};
  for (const [name, text] of Object.entries(desired)) if (said[name] !== text) patch[name] = text;
  for (const name of Object.keys(said)) if (desired[name] === undefined) patch[name] = '';
  return patch;
}

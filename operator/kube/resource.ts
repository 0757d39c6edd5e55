// One kind of object at the API server: its paths, and the few verbs that the operator needs.
import type { KubeApi, KubeRequest } from './kube-api.ts';

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface KubeList<T> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly T[];
}

/** Where a kind is. `group` is empty for the core API. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
}

/** Name and, unless its kind is of the whole cluster, namespace of an object. */
export interface ObjectKey {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** Who writes: what server-side apply and managedFields know the operator by. */
const fieldOwner = { fieldManager: 'millrace-operator' };

const applyPatch = 'application/apply-patch+yaml';
const mergePatch = 'application/merge-patch+json';

export class Resource<T extends KubeObject> {
  readonly type: ResourceType;
  private readonly api: KubeApi;
  private readonly timing: { readonly timeoutMs?: number };

  /** `timeoutMs` of a call; undefined: as KubeApi. */
  constructor(api: KubeApi, type: ResourceType, timing: { readonly timeoutMs?: number } = {}) {
    this.api = api;
    this.type = type;
    this.timing = timing;
  }

  /** Of all namespaces, when none is named. */
  collectionPath(namespace?: string): string {
    const { group, version, plural } = this.type;
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
    return `${root}${scope}/${plural}`;
  }

  get(key: ObjectKey): Promise<T> {
    return this.call({ method: 'GET', path: this.path(key) });
  }

  create(namespace: string | undefined, body: unknown): Promise<T> {
    const path = this.collectionPath(namespace);
    return this.call({ method: 'POST', path, query: fieldOwner, body });
  }

  /** Replaces what it was when `body.metadata.resourceVersion` was read. */
  replace(key: ObjectKey, body: unknown): Promise<T> {
    return this.call({ method: 'PUT', path: this.path(key), query: fieldOwner, body });
  }

  /** Finalizers as a whole, only while the object is still the one of that version. */
  setFinalizers(object: T, finalizers: readonly string[]): Promise<T> {
    const { resourceVersion } = object.metadata;
    return this.call({
      method: 'PATCH',
      path: this.path(object.metadata),
      query: fieldOwner,
      body: { metadata: { resourceVersion, finalizers } },
      contentType: mergePatch,
    });
  }

  /** The whole status, by server-side apply. */
  applyStatus(object: T, status: unknown): Promise<T> {
    const { name, namespace, uid } = object.metadata;
    const { apiVersion, kind } = object;
    return this.call({
      method: 'PATCH',
      path: `${this.path(object.metadata)}/status`,
      query: { ...fieldOwner, force: 'true' },
      // The uid makes the write fail on a later object of that name.
      body: { apiVersion, kind, metadata: { name, namespace, uid }, status },
      contentType: applyPatch,
    });
  }

  private call(request: KubeRequest): Promise<T> {
    return this.api.call<T>({ ...request, ...this.timing });
  }

  private path({ namespace, name }: ObjectKey): string {
    return `${this.collectionPath(namespace)}/${encodeURIComponent(name)}`;
  }
}

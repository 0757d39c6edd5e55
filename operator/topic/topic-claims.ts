// Which Topic objects describe the same topic: an index over the cache.
import { brokerNameOf, type TopicObject } from '../objects/topic-object.ts';

export class TopicClaims {
  private readonly nameOf = new Map<string, string>();
  private readonly keysOf = new Map<string, Set<string>>();

  /** `object` undefined: it has gone. Answers the keys of others that this concerns. */
  update(key: string, object: TopicObject | undefined): string[] {
    const before = this.nameOf.get(key);
    const name = object === undefined ? undefined : brokerNameOf(object);
    if (before !== undefined && before !== name) this.remove(key, before);
    if (name !== undefined) {
      this.nameOf.set(key, name);
      const keys = this.keysOf.get(name);
      if (keys === undefined) this.keysOf.set(name, new Set([key]));
      else keys.add(key);
    }
    const concerned = new Set([...this.keys(before), ...this.keys(name)]);
    return [...concerned].filter((other) => other !== key);
  }

  /** Of other objects that describe the same topic. */
  others(key: string): string[] {
    return [...this.keys(this.nameOf.get(key))].filter((other) => other !== key);
  }

  private keys(name: string | undefined): Iterable<string> {
    return name === undefined ? [] : (this.keysOf.get(name) ?? []);
  }

  private remove(key: string, name: string): void {
    this.nameOf.delete(key);
    const keys = this.keysOf.get(name);
    keys?.delete(key);
    if (keys?.size === 0) this.keysOf.delete(name);
  }
}

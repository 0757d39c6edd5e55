// Random histories of what users do to objects and behind their back, with operators that come and go: again and again
// the broker comes to what a model of two maps says. OPERATOR_ACTIONS says how many (default 120); SEED repeats a run.
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defined } from '../../broker/core/assert.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { missingControlPlane } from '../services/control-plane.ts';
import { describeNeeding } from '../support/needs.ts';
import { OperatorFixture, soon, type RunningOperator } from './operator-fixture.ts';

const actionCount = Number(process.env['OPERATOR_ACTIONS'] ?? 120);
/** So often it is looked whether the broker has come to it. */
const actionsPerLook = 12;
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const names = ['a', 'b', 'c', 'd', 'kept-1', 'kept-2'];
const hourMs = 3_600_000;
const tenant = 'acme';

/** What the object says. */
interface Said {
  readonly hours: number;
  readonly partitions: number;
}

describeNeeding(missingControlPlane(), `the operator in a random history (SEED=${seed})`, () => {
  const random = seededRandom(seed);
  let kube: OperatorFixture;
  let running: RunningOperator | undefined;
  /** The objects that there are. */
  const objects = new Map<string, Said>();
  /** Topics whose objects were deleted to keep them, as they were then. */
  const kept = new Map<string, Said>();
  const done: string[] = [];

  beforeAll(async () => {
    kube = await OperatorFixture.start({ controllers: false });
    await kube.tenant(tenant, { kubernetesNamespaces: ['default'] });
  }, 240_000);

  afterAll(async () => {
    await kube[Symbol.asyncDispose]();
  }, 60_000);

  const upTo = (limit: number): number => Math.floor(random.next() * limit);
  const fullName = (name: string): string => `${tenant}/default/${name}`;
  const specOf = ({ hours, partitions }: Said) => ({ timeToLive: `${hours}h`, partitions });

  const actions = {
    async create(name: string) {
      if (objects.has(name) || kept.has(name)) return;
      // One that is being deleted goes when an operator has seen it.
      running ??= kube.startOperator();
      await kube.untilGone('default', name);
      const said = { hours: 1 + upTo(50), partitions: 1 + upTo(3) };
      await kube.topic('default', name, { tenant, deletionPolicy: 'Delete', ...specOf(said) });
      objects.set(name, said);
    },
    async change(name: string) {
      const before = objects.get(name);
      if (before === undefined) return;
      const said = { hours: 1 + upTo(50), partitions: before.partitions + upTo(2) };
      await kube.patchTopic('default', name, specOf(said));
      objects.set(name, said);
    },
    async remove(name: string) {
      if (!objects.delete(name)) return;
      await kube.deleteTopic('default', name);
    },
    async keep(name: string) {
      const said = objects.get(name);
      // A name that is kept has its last object: a new one would not own the topic.
      if (said === undefined || !name.startsWith('kept')) return;
      running ??= kube.startOperator();
      await kube.patchTopic('default', name, { deletionPolicy: 'Retain' });
      await kube.untilTold('default', name, 'True Ready');
      await kube.deleteTopic('default', name);
      objects.delete(name);
      kept.set(name, said);
    },
    async drift(name: string) {
      // Where it is not there yet this would make one that nobody owns.
      if (!objects.has(name) || (await atBroker(name)) === undefined) return;
      await kube.client.topics.apply(fullName(name), { timeToLiveMs: 1 + upTo(1_000) });
    },
    async deleteBehind(name: string) {
      if (objects.has(name)) await kube.client.topics.delete(fullName(name)).catch(() => undefined);
    },
    async stopOperator() {
      await running?.stop();
      running = undefined;
    },
    async startOperator() {
      running ??= kube.startOperator();
    },
    async wait() {
      await delay(upTo(300));
    },
  };

  /** As often as each is to come. */
  const drawn: readonly (keyof typeof actions)[] = [
    ...(['create', 'create', 'create', 'change', 'change', 'change', 'remove', 'keep'] as const),
    ...(['drift', 'drift', 'deleteBehind', 'stopOperator', 'startOperator', 'wait'] as const),
  ];

  /** Undefined: there is none. */
  async function atBroker(name: string): Promise<Said | undefined> {
    const topic = await kube.atBroker(fullName(name));
    const { timeToLiveMs = 0, partitions = 0 } = topic?.spec ?? {};
    return topic && { hours: timeToLiveMs / hourMs, partitions };
  }

  async function settle(): Promise<void> {
    running ??= kube.startOperator();
    for (const name of names) {
      const expected = objects.get(name) ?? kept.get(name);
      const message = `${name} after ${done.join(', ')}`;
      await expect.poll(() => atBroker(name), { ...soon, message }).toEqual(expected);
      if (objects.has(name)) await kube.untilTold('default', name, 'True Ready');
      else await kube.untilGone('default', name);
    }
  }

  it(`comes to where the model is, ${actionCount} actions long`, async () => {
    let looks = 0;
    for (let i = 1; i <= actionCount; i++) {
      const action = defined(drawn[upTo(drawn.length)], 'action');
      const name = defined(names[upTo(names.length)], 'name');
      done.push(`${action} ${name}`);
      await actions[action](name);
      if (i % actionsPerLook !== 0) continue;
      await settle();
      looks += objects.size;
    }
    // A history of nothing shows nothing.
    expect(looks).toBeGreaterThan(actionCount / actionsPerLook);
    // And stays there: nothing is under way any more that would change it.
    await delay(3_000);
    await settle();
  }, 240_000);
});

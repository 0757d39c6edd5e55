// One Topic object: observe, plan, apply, observe again, tell.
//
// Invariants:
// - Nothing is done for an object that may not act (standing.ts).
// - The finalizer is there before anything is made at the broker.
// - Ready is told only after a look that found nothing left to do.
import type { Client } from '../../client/src/index.ts';
import { isKubeFailure } from '../kube/kube-error.ts';
import { lookAgain, outcomeOfFailure } from '../objects/broker-failure.ts';
import { wasReady, type Outcome } from '../objects/conditions.ts';
import { standingOf, type Standing } from '../objects/standing.ts';
import { afterDrift, hasFinalizer, tellDrift, withFinalizer } from '../objects/surroundings.ts';
import { brokerNameOf, type TopicObject } from '../objects/topic-object.ts';
import type { Reconciled } from '../runtime/controller.ts';
import { keyOf } from '../runtime/object-cache.ts';
import { finalizeTopic } from './topic-finalizer.ts';
import { topicOrNone, type TopicParts } from './topic-parts.ts';
import { planTopic, type ObservedTopic, type TopicAction } from './topic-plan.ts';
import { nextTopicStatus } from './topic-status.ts';

/** A plan is made again when something else changed the topic meanwhile; more often is somebody's loop. */
const looksMax = 4;

export class TopicReconciler {
  private readonly parts: TopicParts;

  constructor(parts: TopicParts) {
    this.parts = parts;
  }

  async reconcile(key: string): Promise<Reconciled> {
    const object = this.parts.topicCache.get(key);
    if (object === undefined) return { again: 'never' };
    try {
      const standing = this.standing(object);
      if (object.metadata.deletionTimestamp !== undefined) {
        return await finalizeTopic(this.parts, object, standing);
      }
      return await this.bringAbout(object, standing);
    } catch (thrown) {
      if (isKubeFailure(thrown, 'not_found')) return { again: 'never' };
      // Somebody wrote the object meanwhile: the watch tells.
      if (isKubeFailure(thrown, 'conflict')) return { again: 'retry' };
      throw thrown;
    }
  }

  private standing(object: TopicObject): Standing {
    const { tenantCache, topicCache, claims } = this.parts;
    const others = claims.others(keyOf(object.metadata)).flatMap((key) => {
      const other = topicCache.get(key);
      return other === undefined ? [] : [other];
    });
    return standingOf(object, tenantCache.get(object.spec.tenant), others);
  }

  private async bringAbout(given: TopicObject, standing: Standing): Promise<Reconciled> {
    let object = given;
    if (standing.kind === 'refused') {
      await this.tell(object, undefined, standing);
      return afterDrift(this.parts);
    }
    if (object.spec.managementPolicy === 'Full' && !hasFinalizer(object)) {
      object = await this.parts.topics.setFinalizers(object, withFinalizer(object));
    }
    const { observed, outcome } = await this.settle(object, standing.givingWay);
    await this.tell(object, observed, outcome);
    const isDone = outcome.kind === 'ready' || outcome.kind === 'refused';
    return isDone ? afterDrift(this.parts) : { again: 'retry' };
  }

  /** Looks, acts, looks again, until there is nothing to do. */
  private async settle(
    object: TopicObject,
    givingWay: ReadonlySet<string>,
  ): Promise<{ readonly observed: ObservedTopic | undefined; readonly outcome: Outcome }> {
    const { broker, server } = this.parts;
    const changes: string[] = [];
    let observed: ObservedTopic | undefined;
    for (let look = 1; look <= looksMax; look++) {
      try {
        observed = await observeTopic(broker, brokerNameOf(object));
        const plan = planTopic(object, observed, givingWay);
        if (plan.kind === 'refused') return { observed, outcome: plan };
        if (plan.actions.length === 0) {
          if (changes.length > 0 && wasReady(object)) await tellDrift(this.parts, object, changes);
          return { observed, outcome: { kind: 'ready' } };
        }
        for (const action of plan.actions) {
          changes.push(...(await act(broker, brokerNameOf(object), action)));
        }
      } catch (thrown) {
        const outcome = outcomeOfFailure(thrown, server);
        if (outcome !== lookAgain) return { observed, outcome };
      }
    }
    const message = 'something else changes the topic again and again';
    return { observed, outcome: { kind: 'failed', reason: 'Changing', message } };
  }

  private async tell(
    object: TopicObject,
    observed: ObservedTopic | undefined,
    outcome: Outcome,
  ): Promise<void> {
    const { topics, timing } = this.parts;
    const status = nextTopicStatus(object, observed, outcome, timing.wallMs());
    if (status !== undefined) await topics.applyStatus(object, status);
  }
}

async function observeTopic(broker: Client, name: string): Promise<ObservedTopic> {
  const topic = await topicOrNone(broker, name);
  if (topic === undefined) return { topic, subscriptions: [] };
  return { topic, subscriptions: await Array.fromAsync(broker.subscriptions.list(name)) };
}

/** Answers what it changed. */
async function act(broker: Client, topic: string, action: TopicAction): Promise<readonly string[]> {
  switch (action.kind) {
    case 'apply-topic': {
      const { patch, revision, inherit } = action;
      return (await broker.topics.apply(topic, patch, { revision, inherit })).changes;
    }
    case 'apply-subscription': {
      const { name, patch, revision } = action;
      return (await broker.subscriptions.apply(topic, name, patch, { revision })).changes;
    }
  }
}

// A Topic object that is being deleted: what happens to its topic, and when the object may go.
//
// Invariants:
// - A topic is deleted by the id of the one that carries this object's label, after a fresh look at the object.
// - Retain never waits. Delete waits for the broker at most `finalizerTimeoutMs`, then says what it left behind.
import { outcomeOfFailure, lookAgain } from '../objects/broker-failure.ts';
import type { Outcome } from '../objects/conditions.ts';
import { isOwnedBy } from '../objects/ownership.ts';
import type { Standing } from '../objects/standing.ts';
import {
  hasFinalizer,
  isOverdue,
  tellLeftBehind,
  withoutFinalizer,
} from '../objects/surroundings.ts';
import { brokerNameOf, type TopicObject } from '../objects/topic-object.ts';
import type { Reconciled } from '../runtime/controller.ts';
import { topicOrNone, type TopicParts } from './topic-parts.ts';
import { planRelease } from './topic-plan.ts';
import { nextTopicStatus } from './topic-status.ts';

/** Throws KubeError. */
export async function finalizeTopic(
  parts: TopicParts,
  seen: TopicObject,
  standing: Standing,
): Promise<Reconciled> {
  if (!hasFinalizer(seen)) return { again: 'never' };
  // The cache may be behind, and it is about records.
  const object = await parts.topics.get(seen.metadata);
  if (object.metadata.uid !== seen.metadata.uid || !hasFinalizer(object)) return { again: 'never' };
  const outcome =
    object.spec.deletionPolicy === 'Delete'
      ? await deleteTopic(parts, object, standing)
      : await retainTopic(parts, object);
  if (outcome !== 'done') {
    const status = nextTopicStatus(object, undefined, outcome, parts.timing.wallMs());
    if (status !== undefined) await parts.topics.applyStatus(object, status);
    return { again: 'retry' };
  }
  await parts.topics.setFinalizers(object, withoutFinalizer(object));
  return { again: 'never' };
}

async function retainTopic(parts: TopicParts, object: TopicObject): Promise<'done'> {
  const { broker } = parts;
  const name = brokerNameOf(object);
  try {
    const release = planRelease(object, await topicOrNone(broker, name));
    if (release === undefined) return 'done';
    await broker.topics.apply(name, release.patch, { revision: release.revision });
  } catch (thrown) {
    const outcome = outcomeOfFailure(thrown, parts.server);
    const why = outcome === lookAgain ? 'it was changed meanwhile' : outcome.message;
    await tellLeftBehind(parts, object, `the label of this object on topic ${name}`, why);
  }
  return 'done';
}

async function deleteTopic(
  parts: TopicParts,
  object: TopicObject,
  standing: Standing,
): Promise<Outcome | 'done'> {
  const { broker, server } = parts;
  const name = brokerNameOf(object);
  const leave = async (why: string): Promise<'done'> => {
    await tellLeftBehind(parts, object, `topic ${name}`, why);
    return 'done';
  };
  if (standing.kind === 'refused') return leave(standing.message);
  try {
    const topic = await topicOrNone(broker, name);
    if (topic === undefined) return 'done';
    if (!isOwnedBy(topic.spec.labels, object)) return await leave('this object does not manage it');
    await broker.topics.delete(name, { topicId: topic.topicId });
    return 'done';
  } catch (thrown) {
    const outcome = outcomeOfFailure(thrown, server);
    if (outcome === lookAgain) {
      return { kind: 'failed', reason: 'Deleting', message: 'it was changed meanwhile' };
    }
    return isOverdue(parts, object) ? leave(outcome.message) : outcome;
  }
}

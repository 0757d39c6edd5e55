// DeadLetterService: between the API's messages and what the broker does with dead letters.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Broker } from '../cluster/broker.ts';
import { parseTopicName } from '../catalog/names.ts';
import { parseScope, scopeOfTopic, tenantOf } from '../catalog/scope.ts';
import {
  DeadLetterAction,
  DeadLetterService,
  type StartDeadLetterJobRequest,
} from '../../proto/gen/millrace/v1/dead_letter_pb.ts';
import type { Caller } from './caller.ts';
import {
  countToProto,
  filterFromProto,
  jobToProto,
  letterToProto,
  nextToProto,
  positionFromProto,
  specFromProto,
  topicToProto,
} from './dead-letter-convert.ts';
import { unary } from './unary.ts';

const {
  listDeadLetterTopics,
  countDeadLetters,
  peekDeadLetters,
  startDeadLetterJob,
  getDeadLetterJob,
  listDeadLetterJobs,
  cancelDeadLetterJob,
} = DeadLetterService.method;

export function deadLetterService({ deadLetters }: Broker): UntypedServiceImplementation {
  return {
    listDeadLetterTopics: unary(listDeadLetterTopics, ({ pageSize, pageToken }, caller) => {
      const mayView = (topic: string): boolean => caller.may('view', parseScope(topic));
      const { items, nextPageToken } = deadLetters.topics({ pageSize, pageToken }, mayView);
      return { topics: items.map(topicToProto), nextPageToken };
    }),
    countDeadLetters: unary(countDeadLetters, async ({ topic, filter, from }) => {
      const counted = await deadLetters.count(
        topic,
        filterFromProto(filter),
        positionFromProto(from),
      );
      return {
        counts: counted.counts.map(countToProto),
        damaged: BigInt(counted.damaged),
        ...nextToProto(counted.next),
      };
    }),
    peekDeadLetters: unary(peekDeadLetters, async ({ topic, filter, from, lettersMax }) => {
      const page = await deadLetters.peek(
        topic,
        filterFromProto(filter),
        positionFromProto(from),
        lettersMax,
      );
      return { letters: page.letters.map(letterToProto), ...nextToProto(page.next) };
    }),
    startDeadLetterJob: unary(startDeadLetterJob, async (request, caller) => {
      requireOrigins(request, caller);
      return { job: jobToProto(await deadLetters.startJob(request.topic, specFromProto(request))) };
    }),
    getDeadLetterJob: unary(getDeadLetterJob, ({ topic, jobId }) => ({
      job: jobToProto(deadLetters.job(topic, jobId)),
    })),
    listDeadLetterJobs: unary(listDeadLetterJobs, ({ topic }) => ({
      jobs: deadLetters.jobsOf(topic).map(jobToProto),
    })),
    cancelDeadLetterJob: unary(cancelDeadLetterJob, async ({ topic, jobId }) => ({
      job: jobToProto(await deadLetters.cancel(topic, jobId)),
    })),
  };
}

/**
 * Letters go back to where their headers say that they come from, and whoever may publish to a dead-letter topic writes
 * such headers: a redrive is publishing to the origin that the filter names, or else to any topic of the tenant.
 */
function requireOrigins({ topic, action, to, filter }: StartDeadLetterJobRequest, caller: Caller) {
  if (action !== DeadLetterAction.REDRIVE || to !== '') return;
  const origin = filter?.originTopic ?? '';
  const scope = scopeOfTopic(parseTopicName(origin === '' ? topic : origin));
  caller.require('publish', origin === '' ? parseScope(tenantOf(scope)) : scope);
}

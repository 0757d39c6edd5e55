// DeadLetterService: between the API's messages and what the broker does with dead letters.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Broker } from '../cluster/broker.ts';
import { DeadLetterService } from '../../proto/gen/millrace/v1/dead_letter_pb.ts';
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
    listDeadLetterTopics: unary(listDeadLetterTopics, ({ pageSize, pageToken }) => {
      const { items, nextPageToken } = deadLetters.topics({ pageSize, pageToken });
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
    startDeadLetterJob: unary(startDeadLetterJob, async (request) => ({
      job: jobToProto(await deadLetters.startJob(request.topic, specFromProto(request))),
    })),
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

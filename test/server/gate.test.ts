import { create, toBinary } from '@bufbuild/protobuf';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { AccessControl } from '../../broker/access/access-control.ts';
import { noAudit } from '../../broker/access/audit-log.ts';
import { GrantTable, TokenTable } from '../../broker/catalog/access-tables.ts';
import { Gate } from '../../broker/server/gate.ts';
import { GetTopicRequestSchema, TopicService } from '../../proto/gen/millrace/v1/topic_pb.ts';
import { PublishRequestSchema, PublishService } from '../../proto/gen/millrace/v1/publish_pb.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function openGate(admitCall = (): void => {}): Gate {
  const access = new AccessControl({
    isOpen: true,
    grants: new GrantTable(),
    tokens: new TokenTable(),
    operators: [],
    fixedTokens: [],
    authenticators: [],
    clock: new VirtualClock(),
  });
  return new Gate(access, noAudit, admitCall);
}

function callWith(request: Uint8Array) {
  return {
    cancelled: false,
    request: Buffer.from(request),
    getPeer: () => '127.0.0.1:1',
    emit: () => true,
    once: () => undefined,
  };
}

/** Calls a method behind the gate; every method of the service is answered by `handle`. */
function guarded(
  gate: Gate,
  service: typeof TopicService | typeof PublishService,
  handle: () => void,
) {
  const all = Object.fromEntries(service.methods.map(({ localName }) => [localName, handle]));
  const methods = gate.guard(service, all) as Record<string, unknown>;
  return (name: string, request: Uint8Array): void => {
    (methods[name] as (call: object, callback: () => void) => void)(callWith(request), () => {});
  };
}

it('lets a burst of administration through one a turn of the event loop, and publishing at once', async () => {
  const gate = openGate();
  const told: string[] = [];
  const administer = guarded(gate, TopicService, () => told.push('call'));
  const publish = guarded(gate, PublishService, () => told.push('publish'));
  const get = toBinary(GetTopicRequestSchema, create(GetTopicRequestSchema, { name: 'a/b/c' }));
  for (let i = 0; i < 3; i++) administer('getTopic', get);
  publish('publish', toBinary(PublishRequestSchema, create(PublishRequestSchema, {})));
  expect(told).toEqual(['publish']);
  for (let i = 0; i < 3; i++) {
    await nextTurn();
    told.push('others');
  }
  expect(told).toEqual(['publish', 'call', 'others', 'call', 'others', 'call', 'others']);
});

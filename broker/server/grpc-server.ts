// The gRPC server: services, limits of connections, health and reflection.
//
// Invariants:
// - Every limit that grpc-js leaves open is set here: streams, session memory, message size, keepalive, idle time, age;
//   of HTTP/2 in grpc-window.ts, of connections in connections.ts.
// - Shutdown: health says NOT_SERVING, streams are told CLOSING, then ended; nobody waits on a silent client.
import { ReflectionService } from '@grpc/reflection';
import { Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { HealthImplementation, service as healthService } from 'grpc-health-check';
import type { DescFile, DescService } from '@bufbuild/protobuf';
import { toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { AccessControl } from '../access/access-control.ts';
import type { Audit } from '../access/audit-log.ts';
import type { Broker } from '../cluster/broker.ts';
import { defined } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { CatalogStore } from '../shard/catalog-store.ts';
import { AccessService } from '../../proto/gen/millrace/v1/access_pb.ts';
import { ClusterService } from '../../proto/gen/millrace/v1/cluster_pb.ts';
import { ConsumeService } from '../../proto/gen/millrace/v1/consume_pb.ts';
import { DeadLetterService } from '../../proto/gen/millrace/v1/dead_letter_pb.ts';
import { PublishService } from '../../proto/gen/millrace/v1/publish_pb.ts';
import { ReadService } from '../../proto/gen/millrace/v1/read_pb.ts';
import { SubscriptionService } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { TenantService } from '../../proto/gen/millrace/v1/tenant_pb.ts';
import { TopicService } from '../../proto/gen/millrace/v1/topic_pb.ts';
import { accessService } from './access-service.ts';
import { clusterService } from './cluster-service.ts';
import { consumeService, readService } from './consume-services.ts';
import { Connections } from './connections.ts';
import { deadLetterService } from './dead-letter-service.ts';
import { Gate, type GateFigures } from './gate.ts';
import { serviceDefinition } from './grpc-method.ts';
import { GrpcPort } from './grpc-port.ts';
import { setHttp2Options } from './grpc-window.ts';
import { publishService } from './publish-service.ts';
import { Sessions } from './sessions.ts';
import { subscriptionService } from './subscription-service.ts';
import { tenantService } from './tenant-service.ts';
import { topicService } from './topic-service.ts';

export interface GrpcOptions {
  readonly host: string;
  readonly port: number;
  readonly broker: Broker;
  readonly access: AccessControl;
  readonly audit: Audit;
  readonly catalog: CatalogStore;
  readonly log: Log;
  /** Undefined: plain text. */
  readonly tls: ServerCredentials | undefined;
  readonly connections: ConnectionSettings;
}

/** What an operator may set about connections. */
export interface ConnectionSettings {
  readonly connectionsMax: number;
  readonly connectionsPerAddressMax: number;
  readonly connectionIdleMs: number;
  readonly connectionAgeMs: number;
  readonly keepaliveIntervalMs: number;
}

const services: readonly DescService[] = [
  PublishService,
  ReadService,
  ConsumeService,
  TopicService,
  SubscriptionService,
  DeadLetterService,
  TenantService,
  ClusterService,
  AccessService,
];

/** Paths of methods whose handlers begin before their request has ended. */
const streamingPaths: ReadonlySet<string> = new Set(
  services.flatMap(({ methods, typeName }) =>
    methods
      .filter(({ methodKind }) => methodKind === 'bidi_streaming')
      .map(({ name }) => `/${typeName}/${name}`),
  ),
);

export class GrpcServer {
  private readonly options: GrpcOptions;
  private readonly server: Server;
  private readonly sessions = new Sessions();
  private readonly gate: Gate;
  private readonly health: HealthImplementation;
  private port: GrpcPort | undefined;
  private isClosed = false;
  readonly connections: Connections;

  constructor(options: GrpcOptions) {
    this.options = options;
    this.server = new Server({
      'grpc.max_receive_message_length': limits.requestBytesMax,
      'grpc.max_send_message_length': -1,
      'grpc.max_concurrent_streams': limits.streamsPerConnectionMax,
      'grpc.keepalive_time_ms': options.connections.keepaliveIntervalMs,
      'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
      'grpc.keepalive_permit_without_calls': 1,
      'grpc.max_connection_idle_ms': options.connections.connectionIdleMs,
      'grpc.max_connection_age_ms': options.connections.connectionAgeMs,
      'grpc.max_connection_age_grace_ms': limits.connectionAgeGraceMs,
      'grpc-node.max_session_memory': limits.sessionMemoryMiB,
    });
    setHttp2Options(this.server);
    const { broker, access, audit, catalog, log } = options;
    const { clock } = broker;
    this.gate = new Gate(access, audit, (scope) => broker.tenants.admitCall(scope));
    const streams = { sessions: this.sessions, gate: this.gate };
    const isStreaming = (path: string): boolean => streamingPaths.has(path);
    this.connections = new Connections({ ...options.connections, clock, log, isStreaming });
    const implementations: Record<string, UntypedServiceImplementation> = {
      [PublishService.name]: publishService(broker, streams),
      [ReadService.name]: readService(broker, streams),
      [ConsumeService.name]: consumeService(broker, streams),
      [TopicService.name]: topicService(broker),
      [SubscriptionService.name]: subscriptionService(broker),
      [DeadLetterService.name]: deadLetterService(broker),
      [TenantService.name]: tenantService(broker),
      [ClusterService.name]: clusterService(broker),
      [AccessService.name]: accessService({ catalog, gate: this.gate, clock: broker.clock }),
    };
    for (const service of services) {
      const implementation = implementations[service.name];
      if (implementation === undefined) throw new Error(`${service.name} is not implemented`);
      this.server.addService(serviceDefinition(service), this.gate.guard(service, implementation));
    }
    const statuses = Object.fromEntries(services.map(({ typeName }) => [typeName, 'SERVING']));
    this.health = new HealthImplementation({ '': 'SERVING', ...statuses });
    this.health.addToServer(this.server);
    new ReflectionService(describedServices()).addToServer(this.server);
  }

  get connectionCount(): number {
    return this.connections.count;
  }

  get streamCount(): number {
    return this.sessions.count;
  }

  get gateFigures(): GateFigures {
    return this.gate.figures;
  }

  /** The port it listens on. Throws LISTEN_FAILED. */
  async listen(): Promise<number> {
    const { host, port, tls = ServerCredentials.createInsecure() } = this.options;
    const { server, connections } = this;
    try {
      this.port = await GrpcPort.open({ server, credentials: tls, connections, host, port });
    } catch (cause) {
      throw listenFailed(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`, cause);
    }
    if (!this.options.access.isOpen) this.checkAccessLater();
    return this.port.port;
  }

  /** Tells clients, gives them `graceMs` to leave, then ends what is left. */
  async close(graceMs: number): Promise<void> {
    this.health.setStatus('', 'NOT_SERVING');
    for (const { typeName } of services) this.health.setStatus(typeName, 'NOT_SERVING');
    this.sessions.announceClosing(graceMs);
    this.port?.close();
    this.connections.close();
    const ended = new Promise<void>((resolve) => {
      this.server.tryShutdown(() => resolve());
    });
    await Promise.race([ended, this.options.broker.sleep(graceMs)]);
    this.sessions.close(
      new BrokerError('SHUTTING_DOWN', 'the broker is shutting down; connect again', {
        effect: 'unknown',
        retryAfterMs: 200,
      }),
    );
    // One turn of the loop, so that the status reaches clients before their connection ends.
    await Promise.race([ended, this.options.broker.sleep(100)]);
    this.isClosed = true;
    this.server.forceShutdown();
  }

  /** What expires, and what nobody told the gate of. */
  private checkAccessLater(): void {
    this.options.broker.clock.after(limits.accessCheckMs, () => {
      if (this.isClosed) return;
      this.gate.check();
      this.checkAccessLater();
    });
  }
}

/** What @grpc/reflection reads from a proto-loader definition: the files' descriptors. */
function describedServices(): ConstructorParameters<typeof ReflectionService>[0] {
  const files = new Map<string, DescFile>();
  const visit = (file: DescFile): void => {
    if (files.has(file.name)) return;
    files.set(file.name, file);
    for (const dependency of file.dependencies) visit(dependency);
  };
  for (const service of services) visit(service.file);
  const fileDescriptorProtos = [...files.values()].map((file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const described = Object.fromEntries(
    services.map(({ typeName }) => [typeName, { fileDescriptorProtos }]),
  );
  // Tools that know only what reflection tells them can then ask for health too.
  const { requestType } = defined(healthService['Check'], 'Check of grpc-health-check');
  const healthFiles = requestType.fileDescriptorProtos.map((file) => Buffer.from(file));
  described['grpc.health.v1.Health'] = { fileDescriptorProtos: healthFiles };
  return described as unknown as ConstructorParameters<typeof ReflectionService>[0];
}

function listenFailed(address: string, cause: unknown): BrokerError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BrokerError(
    'LISTEN_FAILED',
    `cannot listen on ${address}: ${why}; choose another --listen`,
    { cause },
  );
}

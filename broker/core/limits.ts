// Everything that may grow has its bound here, with the reason. What happens at the bound: (reject), (hold back)
// or (spill). The relations between limits are asserted when this file loads.
import { assert } from './assert.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

export const limits = {
  // --- Names and numbers -------------------------------------------------------------------------------
  /** Bytes of one part of a topic name, a subscription, publisher or consumer name (reject). */
  nameBytesMax: 128,
  /** Tenants of an installation (reject): each costs a prefix in the object store and two buckets here. */
  tenantsMax: 10_000,
  /** Namespaces of a tenant that say something of their own (reject): a tenant fits one entry of the journal. */
  namespacesPerTenantMax: 1_000,
  /** Partitions of a topic (reject). Status of a whole topic must fit one unary answer. */
  partitionsPerTopicMax: 256,
  /** Topics of an installation (reject): about 1 KiB of memory each in the catalog and its shard. */
  topicsMax: 100_000,
  /** Partitions of an installation (reject): about 2 KiB of memory each in its shard. */
  partitionsMax: 200_000,
  /** Labels of a topic or tenant (reject), and bytes of the text of one: with names 6 KiB of the catalog each. */
  labelsMax: 16,
  labelBytesMax: 256,
  /** Subscriptions of a topic (reject). */
  subscriptionsPerTopicMax: 1_000,
  /** Items of one page of a list (reject): a page of topics with their status fits one unary answer. */
  listPageMax: 1_000,
  listPageDefault: 100,

  // --- Records and batches -----------------------------------------------------------------------------
  keyBytesMax: 1 * KiB,
  headersPerRecordMax: 64,
  headerNameBytesMax: 128,
  headersBytesMax: 16 * KiB,
  /** (reject) An index inside a batch fits 16 bits in ack state. */
  recordsPerBatchMax: 65_536,
  batchBytesDefault: 1 * MiB,
  /** Smallest maximum that a topic may state (reject): below it publishing degrades to single records. */
  batchBytesMin: 1 * KiB,
  /** Below gRPC's default of 4 MiB with room for the frame around it, so generated clients need no options. */
  batchBytesMax: 3 * MiB,
  /** Largest gRPC message accepted (reject). */
  requestBytesMax: 4 * MiB,

  // --- Publishing --------------------------------------------------------------------------------------
  /** Unanswered bytes of one publish stream (hold back: the stream is not read). */
  publishWindowBytes: 8 * MiB,
  /** Unanswered bytes of all publish streams (hold back). Bounds what waits for the next commits. */
  publishPendingBytesMax: 32 * MiB,
  publishersPerStreamMax: 16_384,
  /** Publishers remembered in one partition (reject new ones; those idle for a day are forgotten). */
  publishersPerPartitionMax: 10_000,
  publisherIdleMs: 24 * 3600 * 1000,
  /** Answers remembered per publisher and partition for a repeat. */
  publisherAnswersKept: 64,

  /** Beyond a second's worth, what a quota may be overdrawn by streams before appends are refused (reject): a few
   * frames that were on their way when it ran dry. */
  quotaDebtBytesMax: 64 * MiB,
  quotaDebtRecordsMax: 1_000_000,
  /** A held-back stream looks again at least this often: a quota that is raised helps at once. */
  quotaLookMsMax: 1_000,
  /** Tenants that have metrics under their names (spill: the others are counted). */
  tenantSeriesMax: 1_000,

  // --- Journal -----------------------------------------------------------------------------------------
  /** LMDB is best between 32 and 256 KiB; measured in docs/decisions. A larger batch gets a page of its own. */
  pageBytes: 256 * KiB,
  /** Bytes of one commit (spill into the next), one page always goes: 4 MiB takes four times as long as 2 MiB. */
  commitBytesMax: 2 * MiB,
  /** A generation is sealed at this size or batch count, whichever comes first. */
  generationBytes: 256 * MiB,
  generationBatchesMax: 1_000_000,
  /** A checkpoint adds so much to a commit: about a tenth of a full one. */
  checkpointBytesPerStep: 192 * KiB,
  /** Share of the volume that publishing leaves free for acks, control entries, indexes and checkpoints. */
  diskReserveShare: 0.05,
  diskReserveBytesMin: 8 * MiB,
  diskReserveBytesMax: 1024 * MiB,
  /** Packed pages kept in memory for tailing readers and dispatchers (spill: read from LMDB). */
  tailCacheBytes: 64 * MiB,
  /** Pages read back from LMDB kept for other readers of the same range (spill). */
  readCacheBytes: 32 * MiB,
  /** Pages read from LMDB at once for a reader that goes forward: 1 MiB in one hop off the event loop. */
  readAheadPages: 4,

  // --- Cold tier ---------------------------------------------------------------------------------------
  /** Bytes of one segment object (spill into the next): one PUT, and two of them are in memory at a time. */
  segmentBytesMax: 32 * MiB,
  /** A partition with so much to offload gets objects of its own at once; less waits to be joined with others. */
  segmentBytesMin: 8 * MiB,
  /** Objects that are written at once. */
  offloadsMax: 2,
  /** While less than this waits, offload goes at the calm rate: publishing beside it keeps its latency. */
  offloadCalmBytes: 640 * MiB,
  offloadCalmBytesPerSecond: 48 * MiB,
  /** Rows of one page of a manifest: 14 KiB, and what a partition has in memory and in its checkpoint. */
  manifestPageRows: 256,
  /** Manifest pages and object indexes kept in memory, per shard (spill). */
  manifestCacheBytes: 4 * MiB,
  segmentIndexCacheBytes: 8 * MiB,
  /** Blocks of cold records kept in memory (spill). Eight readers with two extents each. */
  coldCacheBytes: 64 * MiB,
  /** Bytes of one GET for a reader that goes forward. */
  coldExtentBytes: 4 * MiB,
  /** Share of the volume for records that the object store has too, when no bytes are set. */
  hotShareDefault: 0.5,
  /** GETs for cold records at once (hold back). */
  coldReadsMax: 8,
  /** A call to the object store is given up after this, and longer for its bytes. */
  storeCallMs: 10_000,
  storeListMs: 300_000,

  // --- Delivery ----------------------------------------------------------------------------------------
  /** A frame to a client holds one batch or at most this much. */
  deliveryFrameBytes: 256 * KiB,
  /** The same for consumers, of which there are many: a stalled one costs about two frames. */
  consumeFrameBytes: 128 * KiB,
  /** Bytes handed to HTTP/2 for one stream and not yet taken by the socket (hold back). */
  streamOutputBytesMax: 1 * MiB,
  /** Records in flight or waiting for retry, per subscription and partition (hold back fresh records). */
  unackedRecordsMax: 100_000,
  /** Records held behind the locks of their keys, per subscription and partition (hold back): about 10 MB. */
  keyedHeldMax: 1_000_000,
  /** Letters on their way to a dead-letter topic, per subscription and partition (retried instead). */
  outboxMax: 10_000,
  /** Jobs that run on the dead letters of one topic (reject), and that are remembered (the oldest is forgotten). */
  deadLetterJobsRunningMax: 4,
  deadLetterJobsKept: 20,
  /** What a filter of dead letters may ask for (reject). */
  deadLetterFilterHeadersMax: 16,
  deadLetterFilterValueBytesMax: 1 * KiB,
  /** Letters that a job has on their way at a time: what a cancelled job still does is small. */
  deadLetterChunk: 100,
  /** Letters of one page (reject), and those that are looked at for it (spill into the next page). */
  deadLetterPageMax: 100,
  deadLettersPerCallMax: 5_000,
  /** Subscriptions that have metrics under their names (spill: the others are counted). */
  subscriptionSeriesMax: 1_000,
  /** Bytes of what a consumer says about a failure (cut off). */
  failureTextBytesMax: 256,
  /** One Pull, and one Acknowledge (reject). */
  pullRecordsMax: 1_000,
  pullRecordsDefault: 10,
  pullBytesMax: 1 * MiB,
  pullWaitMsMax: 20_000,
  acksPerCallMax: 10_000,
  ackDeadlineMsDefault: 30_000,
  ackDeadlineMsMin: 1_000,
  ackDeadlineMsMax: 12 * 3600 * 1000,
  backoffMinMsDefault: 100,
  backoffMaxMsDefault: 60_000,
  backoffMsMax: 12 * 3600 * 1000,
  /** Deliveries of a record before it is a dead letter, when there is a dead-letter topic. */
  attemptsMaxDefault: 16,
  attemptsMaxMax: 1_000,
  recordsPerSecondMaxMax: 1_000_000,
  /** Batches of a shard that are held back or have a priority (reject): 33 to 45 bytes each, as columns grow. */
  markedBatchesMax: 10_000_000,
  /** Ranges of records taken back, per partition (reject): about 64 bytes each. */
  cancelledRangesMax: 100_000,
  /** Batches released in one turn of the event loop when many are due at once: below 3 ms with ten million pending. */
  releasedPerTurn: 1_000,
  priorityMax: 9,
  /** Shortest idle time after which a subscription deletes itself (reject). */
  expiresAfterMsMin: 1_000,
  /** 100 years: longest delay, time to live and idle time (reject). */
  farFutureMs: 100 * 365.25 * 24 * 3600 * 1000,

  // --- Access ------------------------------------------------------------------------------------------
  /** A principal's text (reject). */
  principalBytesMax: 512,
  /** Grants of an installation (reject): about 400 bytes of memory each. */
  grantsMax: 100_000,
  /** Grants in the scopes of one tenant (reject): its administrators cannot use up what others need. */
  grantsPerTenantMax: 10_000,
  /** Grants of one principal (reject): a list of topics looks through them. */
  grantsPerPrincipalMax: 1_000,
  /** API tokens of an installation, and of one tenant (reject). */
  tokensMax: 10_000,
  tokensPerTenantMax: 1_000,
  /** A bearer credential, before anything in it is read (reject). */
  credentialBytesMax: 16 * KiB,
  /** How far the clocks of an issuer and of this machine may be apart. */
  credentialClockToleranceMs: 30_000,
  /** Credentials that were found good are remembered (spill), not longer than a minute: keys may be withdrawn. */
  verifiedCredentialsMax: 10_000,
  verifiedCredentialMs: 60_000,
  /** An issuer's keys: how old they may be before they are asked for again, and how often a key that is not known may
   *  be asked for; how long the last ones do while the issuer cannot be reached. */
  issuerKeysFreshMs: 60_000,
  issuerKeysRetryMs: 5_000,
  issuerKeysKeptMs: 24 * 3600 * 1000,
  /** One answer of an issuer (reject), and the time for it. */
  issuerAnswerBytesMax: 256 * KiB,
  issuerAnswerMs: 3_000,
  /** Issuers in the settings (reject), and keys of one (reject). */
  issuersMax: 64,
  issuerKeysMax: 256,
  /** How soon an expired credential or a revoked grant ends what is open, when nobody says so at once. */
  accessCheckMs: 250,
  /** Lines that wait for the audit log (spill: the others are counted). */
  auditLinesPendingMax: 10_000,
  /** Bytes of one file of the audit log, and files that are kept. */
  auditFileBytesMax: 16 * MiB,
  auditFilesMax: 8,
  /** Denials of one caller that get a line of their own, per minute (spill: the others are counted). */
  auditDenialsPerMinute: 20,
  /** Callers whose denials are counted apart (spill: together). */
  auditCallersMax: 10_000,

  // --- Connections -------------------------------------------------------------------------------------
  /** Connections in all, and of one address or /64 (refuse new ones): about 60 KiB of memory each. */
  connectionsMax: 20_000,
  connectionsPerAddressMax: 10_000,
  /** Connections that have not made a call that was let in (the oldest is closed for a new one): at most 60 MiB. */
  connectionsUnprovenMax: 1_000,
  /** Time from connecting to the first call (closed): a client connects because it has one. */
  firstCallMs: 10_000,
  /** Calls of an unproven connection that are refused as unauthenticated (closed). */
  unauthenticatedCallsMax: 8,
  /** Time for the TLS handshake (closed). */
  tlsHandshakeMs: 5_000,
  /** A connection without a call for so long is told to go, and one that is so old: certificates and names change. */
  connectionIdleMs: 15 * 60_000,
  connectionAgeMs: 24 * 3600 * 1000,
  /** What an old connection still has open may go on for so long (then it is reset). */
  connectionAgeGraceMs: 5 * 60_000,
  streamsPerConnectionMax: 1_000,
  /** Memory that one HTTP/2 session may hold, MiB (reject its next stream): a window and frames on their way. */
  sessionMemoryMiB: 64,
  /**
   * Bytes of streams that ended before all was sent, of one session (told to go): Node counts them as memory of the
   * session until it ends, so a client that leaves many streams early would have no more of them one day.
   */
  sessionUnsentBytes: 32 * MiB,
  /**
   * A connection that answers no ping in time is closed: what a half-open one holds goes to others after 20 s. Not
   * sooner, for a client may be busy with one record that long; at 20,000 connections it is 2,000 pings a second.
   */
  keepaliveIntervalMs: 10_000,
  keepaliveTimeoutMs: 10_000,
  /** Pings and settings in a row while nothing else is sent to the client, and how many of them a second are forgiven
   *  (closed): clients that measure the bandwidth ping often, and only while they receive. */
  idlePingsMax: 200,
  idlePingsPerSecond: 1,
  /** Headers of one call, by bytes and by number (reset): a credential of 16 KiB and the usual ones. */
  headerListBytesMax: 32 * KiB,
  headerListPairsMax: 128,
  /** Broken frames of a connection, and streams that it opens over their limit (closed): floods of either. */
  invalidFramesMax: 100,
  rejectedStreamsMax: 100,
  /** HTTP/2 receive window of a connection and of a stream, bytes. */
  receiveWindowBytes: 8 * MiB,
} as const;

assert(limits.batchBytesMax + 64 * KiB < limits.requestBytesMax, 'a batch fits a request');
assert(limits.batchBytesMin <= limits.batchBytesDefault, 'default batch above the minimum');
assert(limits.topicsMax <= limits.partitionsMax, 'every topic has a partition');
assert(limits.batchBytesDefault <= limits.batchBytesMax, 'default batch within the maximum');
assert(limits.publishWindowBytes <= limits.publishPendingBytesMax, 'one stream within the pool');
assert(limits.publishWindowBytes >= limits.batchBytesMax, 'a window admits the largest batch');
assert(limits.commitBytesMax >= 4 * limits.pageBytes, 'a commit holds several pages');
assert(limits.generationBytes > 4 * limits.commitBytesMax, 'a generation holds many commits');
assert(limits.recordsPerBatchMax <= 65_536, 'a record index fits 16 bits');
assert(limits.deadLetterJobsRunningMax < limits.deadLetterJobsKept, 'running jobs are kept');
assert(limits.connectionsUnprovenMax < limits.connectionsMax, 'a flood leaves room for clients');
assert(
  limits.sessionUnsentBytes < limits.sessionMemoryMiB * MiB,
  'a session goes before it is full',
);
assert(limits.tlsHandshakeMs < limits.firstCallMs, 'a handshake that fails is told apart');

// Bugs that other systems shipped, and the tests that ours would fail if it had them. A check in test/tidy reads the
// table: every row has a test, and every test that is named is there.
//
// The numbers are those of the project's list of bugs of the field: Q for queues, P for producers and subscriptions.
// Rows of transactions, of replication and of what is lost for good (P2, P3, P8, P10) are not among them: a single
// broker has none of it.

export interface FieldBug {
  readonly row: string;
  /** What must hold. */
  readonly claim: string;
  readonly tests: readonly FieldTest[];
}

export interface FieldTest {
  /** Below test/. */
  readonly file: string;
  /** As it stands in the file. */
  readonly title: string;
}

const test = (file: string, title: string): FieldTest => ({ file: `${file}.test.ts`, title });
const queueState = (title: string): FieldTest => test('subscription/queue-state', title);
const kills = (title: string): FieldTest => test('crash/settlement-kills', title);
const underLoad = (title: string): FieldTest => test('integration/queue-under-load', title);

export const queueBugs: readonly FieldBug[] = [
  {
    row: 'Q1',
    claim: 'a key stays blocked while its first record is out, delayed by a nack or in back-off',
    tests: [
      test(
        'subscription/keyed-source.model',
        'hands out of each key only its oldest record, and sends or settles each once',
      ),
      test(
        'integration/keyed-queue',
        'lets other keys go on while one fails, and never a later record of that key',
      ),
      kills('never let a record overtake an older one of its key'),
    ],
  },
  {
    row: 'Q2',
    claim:
      'a nack or extension of a delivery that is over changes nothing and says so; an ack counts: the work is done',
    tests: [
      queueState('that is extended in time is not redelivered, and one that is not is'),
      queueState(
        'that is late still acks, also while another consumer holds the record: the work is done',
      ),
      test(
        'integration/pull',
        'lets records go at their deadline, and says so to whoever had them',
      ),
    ],
  },
  {
    row: 'Q3',
    claim: 'a million acks with holes survive a restart in bounded memory',
    tests: [
      queueState(
        'a million acks with holes survive: nothing acked comes back, nothing else is lost',
      ),
      test(
        'subscription/ack-set',
        'a million holes take under 300 KiB in memory and stored, and none is lost',
      ),
      test(
        'crash/holes',
        'survive kill -9 in bounded memory: what is acked stays, what is not comes',
      ),
    ],
  },
  {
    row: 'Q4',
    claim: 'one slow record does not stall a partition',
    tests: [
      underLoad('stalls nobody, however many are acked behind it'),
      test(
        'subscription/ack-set',
        'one slow record with a hundred million acked behind it takes under 512 KiB',
      ),
    ],
  },
  {
    row: 'Q5',
    claim:
      'attempts survive restarts and lost consumers; what kills its consumer is dead after exactly the limit, alone',
    tests: [
      test(
        'integration/dead-letter-targets',
        'is a dead letter after exactly the limit, over a restart of the broker, and it alone',
      ),
      test(
        'subscription/last-attempts',
        'takes no neighbour along when its consumer dies, and makes room for the next when it is done',
      ),
      kills('never forgot more than one attempt of a record per kill'),
    ],
  },
  {
    row: 'Q6',
    claim:
      'a dead-letter topic that is missing, over its quota or deleted: the record stays, and it is said why',
    tests: [
      test(
        'integration/dead-letters',
        'that is missing holds the record, says so, and gets it once it is there (Q6)',
      ),
      test(
        'integration/dead-letter-targets',
        'that is full holds the letters back, and others go on, until it has room',
      ),
      test(
        'integration/dead-letter-targets',
        'that is deleted holds the letters back, over a restart too, until it is there again',
      ),
    ],
  },
  {
    row: 'Q7',
    claim: 'each dead letter exactly once, over kills at any moment',
    tests: [
      test(
        'integration/dead-letters',
        'gets every letter once, however often the broker is killed (Q7)',
      ),
      kills('has each dead letter once, with a reason for each'),
    ],
  },
  {
    row: 'Q8',
    claim: 'delayed records come neither early after a restart nor never when the clock steps',
    tests: [
      test(
        'integration/clock-steps',
        'forward releases what is due by it, and takes nothing from who holds a record',
      ),
      test(
        'integration/clock-steps',
        'back, running or at a restart, delivers nothing early and loses nothing',
      ),
      kills('delivered nothing before its time'),
    ],
  },
  {
    row: 'Q9',
    claim: 'nacks do not stop fresh records, and one poison record does not hold all consumers',
    tests: [
      underLoad('stops neither fresh records nor retries, also when it comes to every consumer'),
      queueState(
        'goes on with fresh records while many retries are ready, half of the records each',
      ),
      queueState('never lets one record that fails at once keep the others from being retried'),
    ],
  },
  {
    row: 'Q10',
    claim:
      'consumers join and leave a hundred times under load: order per key, nothing stuck, counts that add up',
    tests: [
      test(
        'integration/keyed-queue',
        'keeps the order of each key while 100 consumers join and leave under load',
      ),
    ],
  },
  {
    row: 'Q11',
    claim:
      'counters are never negative, are right after a restart, and a limit that was hit lets go with acks',
    tests: [
      underLoad(
        'stops fresh ones with a reason, lets go with acks, and counts anew after a restart',
      ),
      test(
        'integration/keyed-queue',
        'keeps the order of each key while 100 consumers join and leave under load',
      ),
      queueState(
        'stops fresh records at the limit with a reason, goes on with retries, and after acks with both',
      ),
    ],
  },
  {
    row: 'Q12',
    claim: 'a seek under records in flight: old acks are refused, counts are right',
    tests: [
      underLoad(
        'makes them fresh: acks of the old deliveries are refused, and the counts are right',
      ),
      queueState('from before a seek acks nothing, also after a restart'),
    ],
  },
  {
    row: 'Q13',
    claim: 'browsing and describing change nothing',
    tests: [
      test(
        'integration/browse',
        'shows each record that is not acked, where it is, and changes nothing',
      ),
    ],
  },
  {
    row: 'Q14',
    claim:
      'a client that stands still beyond the deadline loses the record; one that extends in time does not',
    tests: [
      test(
        'integration/client-faults',
        'for longer than the deadline loses the record, and can do nothing to who has it now',
      ),
      test('integration/client-faults', 'for less, again and again, keeps what it works on'),
    ],
  },
  {
    row: 'Q15',
    claim: 'consumption goes on by itself after a reconnect, a restart, a half-open connection',
    tests: [
      test('client/consume', 'goes on over lost connections until everything is acked'),
      test(
        'integration/client-faults',
        'by %s is found again; nothing is lost, and again comes only what was in flight',
      ),
      test('integration/client-faults', 'are all back within seconds, each time, and go on'),
      test(
        'integration/half-open',
        'a client whose connection is half-open consumes, reads and publishes again by itself',
      ),
    ],
  },
  {
    row: 'Q16',
    claim: 'declaring again with other settings is a difference, not a broken connection',
    tests: [
      underLoad('is a difference or a refusal, and never disturbs who consumes it'),
      test(
        'integration/cli',
        'creates if not there, changes nothing that is, and says how that differs',
      ),
    ],
  },
  {
    row: 'Q17',
    claim:
      'a noisy key or neighbour delays the next record of others by no more than a bounded share',
    tests: [
      test(
        'integration/keyed-queue',
        'with 100,000 records of one key waiting gives the others theirs at once',
      ),
      underLoad('does not delay the next record of others by more than a bounded share'),
    ],
  },
  {
    row: 'Q18',
    claim:
      'expired records are never delivered, are counted or dead letters, and readers replay them',
    tests: [
      test(
        'integration/delivery-time',
        'of a batch or its topic drops what nobody took in time, or makes it a dead letter',
      ),
    ],
  },
  {
    row: 'Q19',
    claim: 'a redrive that is interrupted goes on without losing or doubling a record',
    tests: [
      test('crash/redrive-kills', 'brought every letter back once, and left none'),
      test('crash/redrive-kills', 'counted what it did, over kills and cancels'),
    ],
  },
  {
    row: 'Q20',
    claim: 'a queue that is always drained does not grow',
    tests: [
      test(
        'integration/drained-queue',
        'a queue that is always drained does not grow, on disk or in the object store',
      ),
    ],
  },
];

export const producerBugs: readonly FieldBug[] = [
  {
    row: 'P1',
    claim: 'without any fault nothing is stuck, lost or left over',
    tests: [
      test(
        'integration/orders',
        'is worked through completely, although one worker fails now and then',
      ),
      test(
        'integration/orders',
        'leaves nothing unacked, and nothing came again after it had succeeded',
      ),
    ],
  },
  {
    row: 'P4',
    claim: 'what is remembered against repeats outlives offload, retention and restarts',
    tests: [
      test(
        'integration/publisher-memory',
        'a repeat is answered with the first offset when its record is offloaded, expired, and over a restart',
      ),
      test('client/publish-recovery', 'stores everything once and in order, over thirty losses'),
    ],
  },
  {
    row: 'P5',
    claim:
      'over restarts every confirmed record is delivered until it is acked, to every kind of subscription',
    tests: [
      test(
        'crash/crash',
        'delivered every record to the queue and to the stream until it was acked',
      ),
      kills('lost nothing: every record was acked by somebody, or is a dead letter'),
    ],
  },
  {
    row: 'P6',
    claim: 'recovery never moves a cursor forward',
    tests: [
      {
        file: 'crash/kept-promises.ts',
        title: 'gave the stream each partition in order, with repeats but without holes',
      },
      kills('lost nothing: every record was acked by somebody, or is a dead letter'),
    ],
  },
  {
    row: 'P7',
    claim: 'readers before and after restarts see the same sequence',
    tests: [test('crash/tiering-kills', 'showed every replay the same records, without a hole')],
  },
  {
    row: 'P9',
    claim: 'what comes twice after a broker went is bounded by what was in flight',
    tests: [
      test(
        'integration/client-faults',
        'by %s is found again; nothing is lost, and again comes only what was in flight',
      ),
      test(
        'subscription/stream-state',
        'gives a new consumer everything unacked once: nothing is skipped at any hand-over',
      ),
    ],
  },
  {
    row: 'P11',
    claim: 'a queue that was drained is empty: no backlog, nothing unacked, delayed or dead',
    tests: [kills('worked everything through, and nothing is left anywhere')],
  },
  {
    row: 'P12',
    claim: 'any mix of nacks, deadlines, seeks, deletions does what a slow obvious model does',
    tests: [
      test(
        'subscription/queue-state.model',
        'does what a per-record model does, whatever the commands, restarts included',
      ),
      test(
        'subscription/keyed-source.model',
        'hands out of each key only its oldest record, and sends or settles each once',
      ),
      test(
        'subscription/held-back.model',
        'go when they are due, the higher ones first, each once, and are gone when cancelled',
      ),
    ],
  },
];

"""Drives a broker with what grpcio-tools generated from proto/ and nothing else: no code of this project.

    python client.py GENERATED_DIR HOST:PORT COMMAND TOPIC

Each command does one thing and prints what it saw as one JSON object; interop.test.ts says what is right.
A call that takes longer than CALL_SECONDS fails, so that a broker that never answers is a failed test.
"""

import gzip
import json
import queue
import struct
import sys

import grpc

GENERATED, SERVER, COMMAND, TOPIC = sys.argv[1:]
sys.path.insert(0, GENERATED)

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # noqa: E402
    ProtoReflectionDescriptorDatabase,
)
from millrace.v1 import consume_pb2, consume_pb2_grpc  # noqa: E402
from millrace.v1 import publish_pb2, publish_pb2_grpc  # noqa: E402
from millrace.v1 import read_pb2, read_pb2_grpc  # noqa: E402
from millrace.v1 import record_pb2, stream_pb2  # noqa: E402
from millrace.v1 import subscription_pb2, subscription_pb2_grpc  # noqa: E402
from millrace.v1 import topic_pb2, topic_pb2_grpc  # noqa: E402

CALL_SECONDS = 15
SUBSCRIPTION = "workers"


class Requests:
    """The sending side of a bidirectional stream: an iterator that `send` feeds and `close` ends."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def send(self, request):
        self._queue.put(request)

    def close(self):
        self._queue.put(None)

    def __iter__(self):
        return iter(self._queue.get, None)


def create(channel):
    """Creates a topic of one partition and a queue subscription whose retries come at once."""
    topics = topic_pb2_grpc.TopicServiceStub(channel)
    subscriptions = subscription_pb2_grpc.SubscriptionServiceStub(channel)
    topic = topics.ApplyTopic(
        topic_pb2.ApplyTopicRequest(name=TOPIC, spec=topic_pb2.TopicSpec(partitions=1)),
        timeout=CALL_SECONDS,
    )
    subscription = subscriptions.ApplySubscription(
        subscription_pb2.ApplySubscriptionRequest(
            topic=TOPIC,
            name=SUBSCRIPTION,
            spec=subscription_pb2.SubscriptionSpec(
                kind=subscription_pb2.SUBSCRIPTION_KIND_QUEUE, backoff_min_ms=0, backoff_max_ms=0
            ),
        ),
        timeout=CALL_SECONDS,
    )
    return {
        "topic": topic.topic.name,
        "topicCreated": topic.created,
        "partitions": topic.topic.spec.partitions,
        "subscription": subscription.subscription.name,
        "subscriptionCreated": subscription.created,
        "ackDeadlineMs": subscription.subscription.spec.ack_deadline_ms,
    }


def publish(channel):
    """Two appends over the stream, the second one twice; a gap in the sequence; then one unary call."""
    stub = publish_pb2_grpc.PublishServiceStub(channel)
    requests = Requests()
    responses = stub.PublishStream(iter(requests), timeout=CALL_SECONDS)
    requests.send(publish_pb2.PublishStreamRequest(opens=[publish_pb2.PublisherOpen(topic=TOPIC)]))
    opened = next(responses).opened[0]
    for sequence, values in [(1, ["a", "b"]), (2, ["c"]), (2, ["c"]), (9, ["lost"])]:
        requests.send(
            publish_pb2.PublishStreamRequest(
                appends=[publish_pb2.Append(sequence=sequence, batch=batch_of(values))]
            )
        )
    results = []
    while len(results) < 4:
        results.extend(next(responses).results)
    requests.close()
    for _ in responses:
        pass
    unary = stub.Publish(
        publish_pb2.PublishRequest(topic=TOPIC, batch=batch_of(["d"])), timeout=CALL_SECONDS
    )
    return {
        "publisherNamed": opened.publisher != "",
        "publisherEpoch": opened.publisher_epoch,
        "partitionCount": opened.partition_count,
        "windowBytes": opened.window_bytes,
        "results": [append_result(result) for result in results],
        "unary": [append_result(result) for result in unary.results],
        "endedWith": responses.code().name,
    }


def replay(channel):
    """Every record from the start to the end that there was; compressed batches are opened here."""
    stub = read_pb2_grpc.ReadServiceStub(channel)
    responses = stub.Read(
        read_pb2.ReadRequest(
            topic=TOPIC,
            from_all=stream_pb2.Position(edge=stream_pb2.EDGE_EARLIEST),
            stop_at_end=True,
        ),
        timeout=CALL_SECONDS,
    )
    records = []
    for response in responses:
        for delivery in response.deliveries:
            for index, record in enumerate(opened_records(delivery.batch)):
                records.append({"offset": delivery.base_offset + index, **plain_record(record)})
    return {"records": records, "endedWith": responses.code().name}


def consume(channel):
    """Four records by credit of two: acks all but the third, which is nacked and comes back."""
    stub = consume_pb2_grpc.ConsumeServiceStub(channel)
    requests = Requests()
    responses = stub.ConsumeStream(iter(requests), timeout=CALL_SECONDS)
    requests.send(
        consume_pb2.ConsumeStreamRequest(
            open=consume_pb2.ConsumerOpen(
                topic=TOPIC,
                subscription=SUBSCRIPTION,
                consumer="python",
                kind=subscription_pb2.SUBSCRIPTION_KIND_QUEUE,
            ),
            credit=consume_pb2.Credit(records=2, bytes=1 << 20),
        )
    )
    consumer = Consumer(requests, responses)
    opened = consumer.opened()
    first_two = consumer.take(2)
    for delivered in first_two:
        consumer.settle(delivered, consume_pb2.ACK_VERB_ACK)
    requests.send(consume_pb2.ConsumeStreamRequest(credit=consume_pb2.Credit(records=3, bytes=1 << 20)))
    nacked, fourth = consumer.take(2)
    consumer.settle(nacked, consume_pb2.ACK_VERB_NACK)
    (again,) = consumer.take(1)
    stale = consumer.settle(nacked, consume_pb2.ACK_VERB_NACK)
    consumer.settle(fourth, consume_pb2.ACK_VERB_ACK)
    consumer.settle(again, consume_pb2.ACK_VERB_ACK)
    requests.close()
    for _ in responses:
        pass
    subscriptions = subscription_pb2_grpc.SubscriptionServiceStub(channel)
    described = subscriptions.GetSubscription(
        subscription_pb2.GetSubscriptionRequest(topic=TOPIC, name=SUBSCRIPTION),
        timeout=CALL_SECONDS,
    )
    return {
        "consumer": opened.consumer,
        "firstTwo": first_two,
        "nacked": nacked,
        "fourth": fourth,
        "again": again,
        "staleNack": [failure.error.reason for failure in stale],
        "backlog": sum(partition.backlog for partition in described.subscription.partitions),
        "endedWith": responses.code().name,
    }


class Consumer:
    """One ConsumeStream: collects deliveries as they come, waits for each confirmation."""

    def __init__(self, requests, responses):
        self._requests = requests
        self._responses = responses
        self._delivered = []
        self._confirmations = {}
        self._confirm_id = 0

    def opened(self):
        return self._receive().opened

    def take(self, count):
        while len(self._delivered) < count:
            self._receive()
        taken, self._delivered = self._delivered[:count], self._delivered[count:]
        return taken

    def settle(self, delivered, verb):
        """Returns the failures that the broker confirmed with."""
        self._confirm_id += 1
        self._requests.send(
            consume_pb2.ConsumeStreamRequest(
                acks=[
                    consume_pb2.AckRange(
                        first_offset=delivered["offset"],
                        last_offset=delivered["offset"],
                        lease=delivered["lease"],
                        verb=verb,
                    )
                ],
                confirm_id=self._confirm_id,
            )
        )
        while self._confirm_id not in self._confirmations:
            self._receive()
        return self._confirmations.pop(self._confirm_id).failures

    def _receive(self):
        response = next(self._responses)
        for delivery in response.deliveries:
            for index, record in enumerate(opened_records(delivery.batch)):
                self._delivered.append(
                    {
                        "offset": delivery.base_offset + index,
                        "value": record.value.decode(),
                        "attempt": delivery.attempt,
                        "lease": delivery.lease,
                    }
                )
        for confirmation in response.confirmations:
            self._confirmations[confirmation.confirm_id] = confirmation
        return response


def errors(channel):
    """How a unary call and a stream fail for a topic that is not there."""
    topics = topic_pb2_grpc.TopicServiceStub(channel)
    reads = read_pb2_grpc.ReadServiceStub(channel)
    return {
        "unary": failure_of(
            lambda: topics.GetTopic(topic_pb2.GetTopicRequest(name=TOPIC), timeout=CALL_SECONDS)
        ),
        "stream": failure_of(
            lambda: list(reads.Read(read_pb2.ReadRequest(topic=TOPIC), timeout=CALL_SECONDS))
        ),
    }


def introspect(channel):
    """What generic tools see: health, and descriptors by reflection."""
    health = health_pb2_grpc.HealthStub(channel)
    reflection = ProtoReflectionDescriptorDatabase(channel)

    def state(service):
        request = health_pb2.HealthCheckRequest(service=service)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(
            health.Check(request, timeout=CALL_SECONDS).status
        )

    publish_file = reflection.FindFileContainingSymbol("millrace.v1.PublishService")
    record_file = reflection.FindFileContainingSymbol("millrace.v1.RecordBatch")
    return {
        "overall": state(""),
        "publish": state("millrace.v1.PublishService"),
        "unknown": failure_of(lambda: state("millrace.v1.NoSuchService"))["code"],
        "services": sorted(reflection.get_services()),
        "publishMethods": [
            method.name for service in publish_file.service for method in service.method
        ],
        "recordFile": record_file.name,
    }


def batch_of(values):
    return record_pb2.RecordBatch(
        records=[
            record_pb2.Record(
                key=f"key-{value}".encode(),
                value=value.encode(),
                timestamp_ms=1_700_000_000_000,
                headers=[record_pb2.Header(name="from", value=b"python")],
            )
            for value in values
        ]
    )


def opened_records(batch):
    if batch.compression == record_pb2.COMPRESSION_GZIP:
        hashes = struct.unpack(f"<{len(batch.key_hashes) // 4}I", batch.key_hashes)
        plain = record_pb2.RecordBatch.FromString(gzip.decompress(batch.compressed_records))
        assert len(plain.records) == batch.record_count, "the stated count is not the count"
        assert len(hashes) in (0, batch.record_count), "a hash for every record or for none"
        return plain.records
    assert batch.compression == record_pb2.COMPRESSION_UNSPECIFIED, batch.compression
    return batch.records


def plain_record(record):
    return {
        "key": record.key.decode(),
        "value": record.value.decode(),
        "timestampMs": record.timestamp_ms,
        "headers": [[header.name, header.value.decode()] for header in record.headers],
    }


def append_result(result):
    return {
        "sequence": result.sequence,
        "baseOffset": result.base_offset,
        "recordCount": result.record_count,
        "duplicate": result.duplicate,
        "reason": result.error.reason,
    }


def failure_of(call):
    """The status of a call that must fail, with the ErrorInfo in its trailer."""
    try:
        call()
    except grpc.RpcError as error:
        seen = {"code": error.code().name}
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                info = error_details_pb2.ErrorInfo()
                assert status.details[0].Unpack(info), "the first detail is an ErrorInfo"
                seen |= {
                    "detailsCode": status.code,
                    "reason": info.reason,
                    "domain": info.domain,
                    "effect": info.metadata["effect"],
                }
        return seen
    raise AssertionError("the call did not fail")


COMMANDS = {
    "create": create,
    "publish": publish,
    "replay": replay,
    "consume": consume,
    "errors": errors,
    "introspect": introspect,
}

with grpc.insecure_channel(SERVER) as open_channel:
    print(json.dumps(COMMANDS[COMMAND](open_channel)))

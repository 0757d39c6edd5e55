// A gRPC channel that is made anew when it does not get ready in time.
//
// grpc-js puts no bound on a connection attempt. One that was sent to an address which is gone, such as that of a pod
// that was just replaced, is repeated by the kernel for two minutes, through a Service of Kubernetes each time to the
// same dead pod. A new attempt finds the new one at once.
//
// Invariants:
// - Only a channel that is not ready is given up; calls that wait for it fail as unreachable, as if refused.
// - Each channel in turn gets twice the time of the one before, so that a slow broker is reached in the end.
import { connectivityState, type Client as GrpcClient } from '@grpc/grpc-js';

export const connectWithinMs = { min: 5_000, max: 20_000 } as const;

export class FreshChannel {
  private readonly make: () => GrpcClient;
  private grpc: GrpcClient;
  private withinMs: number = connectWithinMs.min;
  private timer: NodeJS.Timeout | undefined;

  constructor(make: () => GrpcClient) {
    this.make = make;
    this.grpc = make();
  }

  /** For one call, now. */
  get(): GrpcClient {
    if (this.state === connectivityState.READY) this.withinMs = connectWithinMs.min;
    else this.timer ??= setTimeout(() => this.judge(), this.withinMs).unref();
    return this.grpc;
  }

  close(): void {
    clearTimeout(this.timer);
    this.grpc.close();
  }

  private get state(): connectivityState {
    return this.grpc.getChannel().getConnectivityState(false);
  }

  private judge(): void {
    this.timer = undefined;
    const { state } = this;
    if (state === connectivityState.READY || state === connectivityState.IDLE) return;
    this.withinMs = Math.min(connectWithinMs.max, this.withinMs * 2);
    this.grpc.close();
    this.grpc = this.make();
  }
}

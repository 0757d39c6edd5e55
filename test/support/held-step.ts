// Holds a broker up at a named step, so that something else can happen meanwhile.
import type { FailPoint, FailPointName } from '../../broker/core/fail-point.ts';

export class HeldStep {
  private point: FailPointName | undefined;
  private reached = Promise.withResolvers<void>();
  private released = Promise.withResolvers<void>();

  readonly failPoint: FailPoint = (name) => {
    if (name !== this.point) return undefined;
    this.reached.resolve();
    return this.released.promise;
  };

  /** Everything that comes to the step from now on waits there. */
  hold(point: FailPointName): void {
    this.reached = Promise.withResolvers();
    this.released = Promise.withResolvers();
    this.point = point;
  }

  /** Resolves when somebody waits there. */
  untilReached(): Promise<void> {
    return this.reached.promise;
  }

  release(): void {
    this.point = undefined;
    this.released.resolve();
  }
}

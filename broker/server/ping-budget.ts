// How many pings and settings a client may send while it is sent nothing else. Each costs the broker an answer.
//
// Clients that measure their bandwidth ping for each frame that they receive, so what is sent to a client gives it its
// budget back; a client that only keeps its connection alive never comes near it.
import { limits } from '../core/limits.ts';

/** An answer to a ping, as a frame; that to settings is smaller. */
const answerBytes = 17;

export class PingBudget {
  private left: number = limits.idlePingsMax;
  private atMs: number;
  /** Bytes that had been sent to the client when it was given the whole budget last, and answers asked for since. */
  private sentBefore = 0;
  private answers = 0;

  constructor(nowMs: number) {
    this.atMs = nowMs;
  }

  /** One more has come. `sentBytes`: all that the connection has sent. False: too many. */
  spend(nowMs: number, sentBytes: number): boolean {
    if (sentBytes - this.sentBefore > answerBytes * (this.answers + 1)) {
      this.left = limits.idlePingsMax;
      this.sentBefore = sentBytes;
      this.answers = 0;
    }
    const forgiven = ((nowMs - this.atMs) / 1000) * limits.idlePingsPerSecond;
    this.left = Math.min(limits.idlePingsMax, this.left + forgiven) - 1;
    this.atMs = nowMs;
    this.answers++;
    return this.left >= 0;
  }
}

// What the API server, or the way to it, answered instead of what was asked for.

export type KubeFailure =
  | 'not_found' // 404
  | 'conflict' // 409: exists, or changed meanwhile
  | 'gone' // 410: the resource version is too old; list again
  | 'invalid' // 400, 422
  | 'denied' // 401, 403
  | 'too_many' // 429
  | 'unavailable'; // everything else, time-outs and lost connections too: try again

const failures: Readonly<Record<number, KubeFailure>> = {
  400: 'invalid',
  401: 'denied',
  403: 'denied',
  404: 'not_found',
  409: 'conflict',
  410: 'gone',
  422: 'invalid',
  429: 'too_many',
};

export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly failure: KubeFailure;

  constructor(failure: KubeFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }

  /** `body`: a Status object as text, or anything. */
  static ofStatus(status: number, call: string, body: string): KubeError {
    return new KubeError(
      failures[status] ?? 'unavailable',
      `${call} was answered ${status}: ${messageOf(body)}`,
    );
  }

  static ofThrown(thrown: unknown, call: string): KubeError {
    if (thrown instanceof KubeError) return thrown;
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    return new KubeError('unavailable', `${call} failed: ${text}`, thrown);
  }
}

export function isKubeFailure(thrown: unknown, failure: KubeFailure): boolean {
  return thrown instanceof KubeError && thrown.failure === failure;
}

function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    if (typeof message === 'string') return message;
  } catch {
    // Proxies answer with pages.
  }
  return body.slice(0, 200);
}

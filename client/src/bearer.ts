// The bearer token of a connection, as an interceptor: it is asked for at each call, so that one that is renewed is
// used as soon as it is there.
import {
  InterceptingCall,
  Metadata,
  status,
  type Interceptor,
  type InterceptorOptions,
} from '@grpc/grpc-js';

/** A token, or what gives one; asked for at each call and each stream, so it should remember what is still good. */
export type TokenSource = string | (() => string | Promise<string>);

export function bearer(source: TokenSource): Interceptor {
  return (options: InterceptorOptions, nextCall) => {
    return new InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        if (typeof source === 'string') {
          metadata.set('authorization', `Bearer ${source}`);
          next(metadata, listener);
          return;
        }
        void tokenOf(source).then(
          (token) => {
            metadata.set('authorization', `Bearer ${token}`);
            next(metadata, listener);
          },
          (error: unknown) => {
            const why = error instanceof Error ? error.message : String(error);
            const details = `the token function failed: ${why}`;
            const ended = { code: status.UNAUTHENTICATED, details, metadata: new Metadata() };
            listener.onReceiveStatus?.(ended);
          },
        );
      },
    });
  };
}

async function tokenOf(source: () => string | Promise<string>): Promise<string> {
  return source();
}

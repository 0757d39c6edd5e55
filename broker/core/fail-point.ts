// Named places at which a test may end the process. Nothing stands behind them in a running broker.

export type FailPointName =
  | 'offload-before-put'
  | 'offload-after-put'
  | 'offload-after-verify'
  | 'offload-after-record'
  | 'manifest-after-put'
  | 'manifest-after-record'
  | 'generation-before-drop'
  | 'generation-after-drop'
  | 'checkpoint-after-put'
  | 'checkpoint-after-swap'
  | 'garbage-before-delete'
  | 'garbage-after-delete'
  | 'redrive-before-publish'
  | 'redrive-after-publish'
  | 'redrive-before-end';

/** Awaited where it stands, so that a test may also hold the step up. */
export type FailPoint = (name: FailPointName) => Promise<void> | void;

export const noFailPoint: FailPoint = () => {};

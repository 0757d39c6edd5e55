// Ctrl-C and SIGTERM end a verb in order: what it holds is given back; a second one ends it at once.

/** Calls back at the first signal. Answers how to stop listening. */
export function stopSignal(onStop: () => void): () => void {
  let isStopping = false;
  const listener = (): void => {
    if (isStopping) process.exit(130);
    isStopping = true;
    onStop();
  };
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return () => {
    process.off('SIGINT', listener);
    process.off('SIGTERM', listener);
  };
}

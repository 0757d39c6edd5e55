// Preloaded into a process under test (`node --import`): collects all its garbage at SIGUSR2, so that what is left is
// what it holds.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
if (isMainThread) process.on('SIGUSR2', () => collect());

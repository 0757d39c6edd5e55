#!/usr/bin/env node
// The `millrace` command: a broker, and what talks to one.
//
// Node keeps what it makes of our sources and dependencies in its compile cache (in the directory for temporary files):
// a broker starts faster with it and takes less memory. Nothing else may be imported before it is on.
import { enableCompileCache } from 'node:module';

enableCompileCache();
const { run } = await import('./run.ts');
await run();

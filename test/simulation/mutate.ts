// Loaded before the simulation with `--import`: plants the mutant that MUTANT names into its source file.
import { registerHooks } from 'node:module';
import { mutants } from './mutants.ts';

const mutant = mutants.find(({ name }) => name === process.env['MUTANT']);
if (mutant === undefined) throw new Error(`there is no mutant ${process.env['MUTANT'] ?? ''}`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    if (!url.endsWith(`/broker/${mutant.file}`)) return loaded;
    const { source: bytes } = loaded;
    if (bytes === undefined || bytes === null) return loaded;
    const source = typeof bytes === 'string' ? bytes : Buffer.from(bytes as Uint8Array).toString();
    return { ...loaded, source: source.replace(mutant.find, () => mutant.replace) };
  },
});

// Loaded before the simulation with `--import`: plants the mutant that MUTANT names into its source file.
import { registerHooks } from 'node:module';
import { mutants } from './mutants.ts';
import { subscriptionMutants } from './subscription-mutants.ts';

const planted = process.env['MUTANT'];
const mutant = [...mutants, ...subscriptionMutants].find(({ name }) => name === planted);
if (mutant === undefined) throw new Error(`there is no mutant ${planted ?? ''}`);

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

// Lints the Helm chart with every set of values of its tests: `npm run lint:chart`. It needs the helm of the services.
import { missing, helm as service } from '../services/catalog.ts';
import { chart, helm, valueSets } from '../kubernetes/chart-render.ts';

const lacking = missing(service);
if (lacking !== undefined) {
  console.error(`cannot lint the chart: ${lacking}`);
  process.exitCode = 1;
} else {
  for (const [name, values] of Object.entries(valueSets)) {
    const { code, stdout, stderr } = helm(['lint', '--strict', chart, '--values', '-'], values);
    if (code === 0) continue;
    console.error(`with the values "${name}":\n${stdout}${stderr}`);
    process.exitCode = 1;
  }
}

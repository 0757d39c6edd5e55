// A broker that tells a secret, for the test of those who look for one.
process.stderr.write(`the token was ${process.env['LEAK']}\n`);
await import('../../cli/main.ts');

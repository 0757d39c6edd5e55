// Ends and removes what a cluster of nodes has left on this machine: after a test, and before one, for a run that was
// killed.
//
// All of a cluster is known by its directory: programs have it in their arguments, mounts are below it. Containers are
// known by their control group, whose path begins with `/millrace-`.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const cgroupRoot = '/sys/fs/cgroup';
const endWithinMs = 10_000;

export const linkPrefix = 'mrt';

/** Of a node: below each hierarchy of control groups. */
export function cgroupOf(node: string): string {
  return `/millrace-${node}`;
}

/** Makes the control group of a node in every hierarchy; the kubelet wants to find it. */
export function makeCgroups(node: string): void {
  for (const hierarchy of hierarchies()) {
    mkdirSync(join(cgroupRoot, hierarchy, cgroupOf(node)), { recursive: true });
  }
  // Without processors and memory of its own a cpuset takes no process.
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const ofMachine = readFileSync(join(cgroupRoot, 'cpuset', file), 'utf8');
    writeFileSync(join(cgroupRoot, 'cpuset', cgroupOf(node), file), ofMachine);
  }
}

/** Pids of a node's containers. */
export function processesOf(node: string): number[] {
  return processesBelow(join(cgroupRoot, 'pids', cgroupOf(node)));
}

/** Containers first, then the programs that would start them again, then what they have mounted and linked. */
export async function removeRemains(directory: string): Promise<void> {
  // What keeps containers running has to go before them.
  await endAll(() => programsOf(directory, /kubelet|kube-proxy/));
  await endAll(() => nodesLeft().flatMap(processesOf));
  await endAll(() => programsOf(directory, /./));
  for (const mount of mountsBelow(directory)) quietly('umount', '--lazy', mount);
  for (const node of nodesLeft()) {
    for (const hierarchy of hierarchies()) {
      removeTree(join(cgroupRoot, hierarchy, cgroupOf(node)));
    }
  }
  for (const name of existsSync('/run/netns') ? readdirSync('/run/netns') : []) {
    if (name.startsWith(linkPrefix)) quietly('ip', 'netns', 'delete', name);
  }
  for (const name of readdirSync('/sys/class/net')) {
    if (name.startsWith(linkPrefix)) quietly('ip', 'link', 'delete', name);
  }
}

function nodesLeft(): string[] {
  const prefix = cgroupOf('').slice(1);
  return readdirSync(join(cgroupRoot, 'pids'))
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length));
}

function hierarchies(): string[] {
  return readdirSync(cgroupRoot).filter((name) =>
    existsSync(join(cgroupRoot, name, 'cgroup.procs')),
  );
}

function processesBelow(group: string): number[] {
  if (!existsSync(group)) return [];
  const own = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
  return [...own.map(Number), ...childrenOf(group).flatMap(processesBelow)];
}

function childrenOf(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(group, entry.name));
}

/** Programs with the directory in their arguments. */
function programsOf(directory: string, name: RegExp): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (Number.isNaN(pid) || pid === process.pid) return false;
      const command = commandOf(pid);
      return command.includes(`${directory}/`) && name.test(command);
    });
}

/** Empty for one that has ended. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

/** Until none is left, for whoever is ended may have started another. */
async function endAll(find: () => readonly number[]): Promise<void> {
  const deadline = performance.now() + endWithinMs;
  for (let pids = find(); pids.length > 0; pids = find()) {
    for (const pid of pids) kill(pid);
    await delay(50);
    if (performance.now() > deadline) throw new Error(`they do not end: ${pids.join(', ')}`);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Deepest first. */
function mountsBelow(directory: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const points = lines.map((line) => line.split(' ')[4] ?? '');
  return points
    .filter((point) => point.startsWith(`${directory}/`))
    .sort()
    .reverse();
}

function removeTree(group: string): void {
  if (!existsSync(group)) return;
  for (const child of childrenOf(group)) removeTree(child);
  rmdirSync(group);
}

function quietly(program: string, ...args: string[]): void {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
  } catch {
    // Gone already.
  }
}

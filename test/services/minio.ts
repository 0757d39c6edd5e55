// A MinIO of a test's own: in a container where an engine runs, else the cached binary on a free port; gone afterwards.
// Or the store that S3_ENDPOINT points at.
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Missing } from '../support/needs.ts';
import * as catalog from './catalog.ts';
import { answersHttp, freePort, LocalProcess } from './local-process.ts';

export interface S3Address {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

/** Ready in half a second alone; a busy machine takes its time. */
const readyWithinMs = 30_000;
const accessKey = 'millrace';
const secretKey = 'millrace-secret';
const region = 'us-east-1';
const image = 'minio/minio:RELEASE.2025-09-07T16-13-09Z';
const containerPort = 9000;

/** For `describeNeeding`: undefined when a store can be had. */
export function missingS3(): Missing {
  if (givenStore() !== undefined || hasContainerEngine()) return undefined;
  return catalog.missing(catalog.minio);
}

/** Where testcontainers would look first. */
function hasContainerEngine(): boolean {
  return process.env['DOCKER_HOST'] !== undefined || existsSync('/var/run/docker.sock');
}

/** Undefined when the engine cannot run it, for instance because the image is out of its reach. */
async function startContainer(): Promise<S3Store | undefined> {
  const { GenericContainer, Wait } = await import('testcontainers');
  try {
    const container = await new GenericContainer(image)
      .withCommand(['server', '/data'])
      .withEnvironment({ MINIO_ROOT_USER: accessKey, MINIO_ROOT_PASSWORD: secretKey })
      .withExposedPorts(containerPort)
      .withWaitStrategy(Wait.forHttp('/minio/health/ready', containerPort))
      .start();
    const host = `${container.getHost()}:${container.getMappedPort(containerPort)}`;
    const address = { endpoint: `http://${host}`, accessKey, secretKey, region };
    return new S3Store(address, async () => void (await container.stop()));
  } catch (error) {
    if (catalog.missing(catalog.minio) !== undefined) throw error;
    return undefined;
  }
}

/** The store that the environment names; undefined when it names none. */
function givenStore(): S3Address | undefined {
  const { S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY, S3_REGION } = process.env;
  if (S3_ENDPOINT === undefined) return undefined;
  return {
    endpoint: S3_ENDPOINT,
    accessKey: S3_ACCESS_KEY ?? '',
    secretKey: S3_SECRET_KEY ?? '',
    region: S3_REGION ?? region,
  };
}

export class S3Store implements AsyncDisposable {
  readonly address: S3Address;
  private readonly release: () => Promise<void>;
  private readonly server: LocalProcess | undefined;

  /** `release`: ends what was started. */
  constructor(address: S3Address, release: () => Promise<void>, server?: LocalProcess) {
    this.address = address;
    this.release = release;
    this.server = server;
  }

  /** Resolves when it answers; rejects with its output when it ends or takes too long. */
  static async start(): Promise<S3Store> {
    const given = givenStore();
    if (given !== undefined) return new S3Store(given, () => Promise.resolve());
    const contained = hasContainerEngine() ? await startContainer() : undefined;
    return contained ?? S3Store.startAt('127.0.0.1');
  }

  /** The cached binary, for those who reach that address of this machine. */
  static async startAt(ip: string): Promise<S3Store> {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-minio-'));
    const host = `${ip}:${await freePort()}`;
    const endpoint = `http://${host}`;
    const objects = join(directory, 'data');
    const certificates = join(directory, 'certs');
    const command = [
      ...[catalog.minio.path, 'server', '--quiet', '--address', host],
      ...['--certs-dir', certificates, objects],
    ];
    const server = LocalProcess.start('MinIO', command, join(directory, 'log'), {
      MINIO_ROOT_USER: accessKey,
      MINIO_ROOT_PASSWORD: secretKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    });
    const release = async (): Promise<void> => {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    };
    const store = new S3Store({ endpoint, accessKey, secretKey, region }, release, server);
    try {
      await server.until(() => answersHttp(`${endpoint}/minio/health/ready`), readyWithinMs);
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
    return store;
  }

  /** Undefined for a store that somebody else runs. */
  get pid(): number | undefined {
    return this.server?.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

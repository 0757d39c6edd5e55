// Tokens of Kubernetes service accounts, bound to an audience: the cluster signs them, the kubelet renews them.
import type { JWTPayload } from 'jose';
import { serviceAccountPrincipal, type Principal } from '../catalog/principal.ts';

const subjectForm = /^system:serviceaccount:([^:]+):([^:]+)$/;

/** From the subject; what else the token says about the account must agree. */
export function principalOfServiceAccount(claims: JWTPayload): Principal | undefined {
  const [, namespace, name] = subjectForm.exec(claims.sub ?? '') ?? [];
  if (namespace === undefined || name === undefined) return undefined;
  const bound = claims['kubernetes.io'];
  if (bound !== undefined) {
    if (fieldOf(bound, 'namespace') !== namespace) return undefined;
    if (fieldOf(fieldOf(bound, 'serviceaccount'), 'name') !== name) return undefined;
  }
  return serviceAccountPrincipal(namespace, name);
}

function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, field) : undefined;
}

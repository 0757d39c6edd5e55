// All that the operator may do at the API server, as its tests run it. The chart must grant the same.

/** Of a ClusterRole. */
export const clusterRules = [
  {
    apiGroups: ['millrace.dev'],
    resources: ['topics', 'tenants'],
    verbs: ['get', 'list', 'watch', 'patch'],
  },
  { apiGroups: ['millrace.dev'], resources: ['topics/status', 'tenants/status'], verbs: ['patch'] },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create'] },
];

/** Of a Role in the operator's own namespace. */
export const leaseRules = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
];

/** `verb group/resource` of each. */
export function rightsOf(rules: typeof clusterRules): Set<string> {
  return new Set(
    rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => `${verb} ${group}/${resource}`)),
      ),
    ),
  );
}

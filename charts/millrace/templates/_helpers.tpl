{{/* At most 43 characters, so that every name made of it fits into a label. */}}
{{- define "millrace.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "millrace" $name) }}{{ $name = printf "%s-millrace" $name }}{{ end -}}
{{- default $name .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- end }}

{{/* What selects; immutable in a StatefulSet, so no version is among it. Takes root and component. */}}
{{- define "millrace.selector" -}}
app.kubernetes.io/name: millrace
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "millrace.labels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "millrace.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* The address that clients in the cluster use. */}}
{{- define "millrace.server" -}}
{{ include "millrace.fullname" . }}.{{ .Release.Namespace }}.svc:6700
{{- end }}

{{- define "millrace.tlsSecret" -}}
{{- default (printf "%s-tls" (include "millrace.fullname" .)) .Values.tls.secretName -}}
{{- end }}

{{/* As restricted pod security asks; user 1000 is the image's. */}}
{{- define "millrace.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "millrace.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* A token for the broker, and the CA that it is trusted by: how a client in the cluster says who it is. */}}
{{- define "millrace.clientVolumes" -}}
{{- if .Values.auth.enabled }}
- name: broker-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .Values.auth.kubernetes.audience | quote }}
          expirationSeconds: 3600
          path: token
{{- end }}
{{- if and .Values.tls.enabled .Values.tls.caKey }}
- name: broker-ca
  secret:
    secretName: {{ include "millrace.tlsSecret" . }}
    items:
      - key: {{ .Values.tls.caKey | quote }}
        path: ca.crt
{{- end }}
{{- end }}

{{- define "millrace.clientMounts" -}}
{{- if .Values.auth.enabled }}
- name: broker-token
  mountPath: /var/run/millrace/broker
  readOnly: true
{{- end }}
{{- if and .Values.tls.enabled .Values.tls.caKey }}
- name: broker-ca
  mountPath: /etc/millrace/ca
  readOnly: true
{{- end }}
{{- end }}

{{/* Flags that the command line and the operator share. */}}
{{- define "millrace.clientFlags" -}}
{{- if .Values.auth.enabled }}
- --token-file=/var/run/millrace/broker/token
{{- end }}
{{- if .Values.tls.enabled }}
- --tls
{{- if .Values.tls.caKey }}
- --tls-ca=/etc/millrace/ca/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{/* What the schema cannot say in words that help. */}}
{{- define "millrace.validate" -}}
{{- $tls := .Values.tls -}}
{{- if and $tls.enabled (not $tls.secretName) (not $tls.certManager.issuerName) }}
{{- fail "tls.enabled needs tls.secretName, or tls.certManager.issuerName for cert-manager to make one" }}
{{- end }}
{{- if and (not $tls.enabled) (or $tls.secretName $tls.certManager.issuerName) }}
{{- fail "tls.secretName and tls.certManager.issuerName need tls.enabled=true" }}
{{- end }}
{{- if and $tls.secretName $tls.certManager.issuerName }}
{{- fail "tls.secretName and tls.certManager.issuerName exclude each other: say where the certificate comes from" }}
{{- end }}
{{- if and .Values.objectStore.secretName (not .Values.objectStore.url) }}
{{- fail "objectStore.secretName needs objectStore.url" }}
{{- end }}
{{- if and (not .Values.auth.enabled) (or .Values.auth.operators .Values.auth.issuers) }}
{{- fail "auth.operators and auth.issuers need auth.enabled=true" }}
{{- end }}
{{- end }}

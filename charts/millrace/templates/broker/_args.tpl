{{- define "millrace.brokerArgs" -}}
- start
- --listen=0.0.0.0:6700
- --http-listen=0.0.0.0:6780
- --advertise-address={{ include "millrace.server" . }}
- --data-dir=/data/millrace
- --shutdown-grace-ms={{ int .Values.broker.shutdownGraceMs }}
{{- if .Values.auth.enabled }}
- --auth-config=/etc/millrace/auth/auth.json
{{- with include "millrace.operators" . }}
- {{ printf "--operators=%s" . | quote }}
{{- end }}
{{- else }}
- --allow-unauthenticated
{{- end }}
{{- if .Values.tls.enabled }}
- --tls-cert=/etc/millrace/tls/tls.crt
- --tls-key=/etc/millrace/tls/tls.key
{{- end }}
{{- with .Values.objectStore.url }}
- {{ printf "--object-store=%s" . | quote }}
{{- end }}
{{- range $setting, $value := .Values.broker.settings }}
{{- /* Helm reads numbers as floats, and would print large ones as 1e+07. */}}
{{- $text := ternary (printf "%.0f" $value) (toString $value) (kindIs "float64" $value) }}
- {{ printf "--%s=%s" $setting $text | quote }}
{{- end }}
{{- end }}

{{- define "millrace.operators" -}}
{{- $all := .Values.auth.operators }}
{{- if .Values.operator.enabled }}
{{- $account := printf "%s-operator" (include "millrace.fullname" .) }}
{{- $all = prepend $all (printf "serviceaccount:%s:%s" .Release.Namespace $account) }}
{{- end }}
{{- join "," $all }}
{{- end }}

{{- define "narrowgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "narrowgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "narrowgate.labels" -}}
{{ include "narrowgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "narrowgate.mounts" -}}
- { name: config, mountPath: /etc/narrowgate, readOnly: true }
- { name: state, mountPath: /var/lib/narrowgate }
- { name: tmp, mountPath: /tmp }
{{- range .Values.secrets }}
- { name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/run/secrets/%s" .name }}, readOnly: true }
{{- end }}
{{- end }}

{{/* What pods of the chart have in common. */}}

{{/* Pod Security "restricted", and a bit more. Only who the process is can be chosen. */}}
{{- define "jobwire.podSecurityContext" -}}
runAsNonRoot: true
{{- range $key, $value := .Values.podSecurityContext }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ int64 $value }}
{{- end }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "jobwire.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop:
    - ALL
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Volumes for mounts: name → {secret or configMap: {name, key or keys}}. */}}
{{- define "jobwire.volumes" -}}
{{- range $name, $source := . }}
- name: {{ $name }}
  {{- with $source.secret }}
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    {{- include "jobwire.volumeItems" . | nindent 4 }}
  {{- end }}
  {{- with $source.configMap }}
  configMap:
    name: {{ .name }}
    defaultMode: 0440
    {{- include "jobwire.volumeItems" . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Only the keys that are needed: a secret may hold more. */}}
{{- define "jobwire.volumeItems" -}}
items:
{{- range .keys | default (list .key) }}
  - key: {{ . }}
    path: {{ . }}
{{- end }}
{{- end -}}

{{/* Each below the directory of its name. Directories, not files: a renewed secret is seen. */}}
{{- define "jobwire.volumeMounts" -}}
{{- range $name, $_ := . }}
- name: {{ $name }}
  mountPath: /etc/jobwire/{{ $name }}
  readOnly: true
{{- end }}
{{- end -}}

{{/* What the gateway and `helm test` mount. */}}
{{- define "jobwire.gatewayMounts" -}}
{{- $config := dict "configMap" (dict "name" (include "jobwire.fullname" .) "key" "jobwire.toml") -}}
{{- $mounts := dict "config" $config -}}
{{- $mounts = merge $mounts (include "jobwire.natsMounts" (list . .Values.nats) | fromJson) -}}
{{- $mounts = merge $mounts (include "jobwire.authMounts" . | fromJson) -}}
{{- if .Values.tls.enabled -}}
{{- $keys := list .Values.tls.cert .Values.tls.key -}}
{{- $_ := set $mounts "tls" (dict "secret" (dict "name" .Values.tls.secretName "keys" $keys)) -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}

{{/* Environment of the gateway and `helm test`. */}}
{{- define "jobwire.gatewayEnvironment" -}}
- name: JOBWIRE_CONFIG
  value: /etc/jobwire/config/jobwire.toml
{{- include "jobwire.natsEnvironment" (list . .Values.nats) }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "jobwire.portName" -}}
{{- ternary "https" "http" .Values.tls.enabled -}}
{{- end -}}

{{/* An address to listen on: (list $ port). */}}
{{- define "jobwire.bind" -}}
{{- $address := (index . 0).Values.bindAddress -}}
{{- if contains ":" $address -}}
{{- printf "[%s]:%d" $address (index . 1) -}}
{{- else -}}
{{- printf "%s:%d" $address (index . 1) -}}
{{- end -}}
{{- end -}}

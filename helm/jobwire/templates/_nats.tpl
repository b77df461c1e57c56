{{/* How NATS is reached: the same for the gateway, the stream's Job and `helm test`. */}}

{{- define "jobwire.natsUrl" -}}
{{- if .Values.nats.url -}}
{{- .Values.nats.url -}}
{{- else -}}
{{- printf "nats://%s:4222" (include "jobwire.trialServer" .) -}}
{{- end -}}
{{- end -}}

{{/* The name that the nats chart gives its Service. */}}
{{- define "jobwire.trialServer" -}}
{{- $values := index .Values "nats-server" -}}
{{- $name := $values.nameOverride | default "nats-server" -}}
{{- if $values.fullnameOverride -}}
{{- $values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Ports that `nats.url` names, as a JSON array. */}}
{{- define "jobwire.natsPorts" -}}
{{- $ports := list -}}
{{- range splitList "," (include "jobwire.natsUrl" .) -}}
{{- $port := regexFind ":[0-9]+/?$" . | trimPrefix ":" | trimSuffix "/" | default "4222" -}}
{{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- toJson (uniq $ports) -}}
{{- end -}}

{{/* Who one is: (dict "identity" with credentials, nkey and user, "inboxPrefix"), of `nats` or `stream.job`. */}}
{{- define "jobwire.natsEnvironment" -}}
{{- $root := index . 0 -}}
{{- $identity := index . 1 -}}
{{- with $root.Values.nats }}
- name: NATS_URL
  value: {{ include "jobwire.natsUrl" $root | quote }}
- name: JOBWIRE_STREAM
  value: {{ $root.Values.stream.name | quote }}
{{- if $identity.credentials.secret.name }}
- name: NATS_CREDS
  value: {{ printf "/etc/jobwire/nats-credentials/%s" $identity.credentials.secret.key | quote }}
{{- end }}
{{- if $identity.nkey.secret.name }}
- name: NATS_NKEY
  value: {{ printf "/etc/jobwire/nats-nkey/%s" $identity.nkey.secret.key | quote }}
{{- end }}
{{- with $identity.user.secret }}
{{- if .name }}
- name: NATS_USER
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .usernameKey }}
- name: NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .passwordKey }}
{{- end }}
{{- end }}
{{- if .tls.enabled }}
{{- range $variable, $key := dict "NATS_CA" .tls.ca "NATS_CERT" .tls.cert "NATS_KEY" .tls.key }}
{{- if and $key (include "jobwire.natsTlsSecret" (list $root $identity)) }}
- name: {{ $variable }}
  value: {{ printf "/etc/jobwire/nats-tls/%s" $key | quote }}
{{- end }}
{{- end }}
{{- if .tls.first }}
- name: NATS_TLS_FIRST
  value: "true"
{{- end }}
{{- end }}
{{- range $variable, $value := dict "NATS_INBOX_PREFIX" $identity.inboxPrefix "NATS_DOMAIN" .domain "NATS_API_PREFIX" .apiPrefix }}
{{- if $value }}
- name: {{ $variable }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Empty: no secret is mounted. */}}
{{- define "jobwire.natsTlsSecret" -}}
{{- $root := index . 0 -}}
{{- $identity := index . 1 -}}
{{- if $root.Values.nats.tls.enabled -}}
{{- $identity.tls.secretName | default $root.Values.nats.tls.secretName -}}
{{- end -}}
{{- end -}}

{{/* The mounts as a JSON object: name of the mount → where it comes from. */}}
{{- define "jobwire.natsMounts" -}}
{{- $root := index . 0 -}}
{{- $identity := index . 1 -}}
{{- $mounts := dict -}}
{{- with $identity.credentials.secret -}}
{{- if .name -}}{{- $_ := set $mounts "nats-credentials" (dict "secret" .) -}}{{- end -}}
{{- end -}}
{{- with $identity.nkey.secret -}}
{{- if .name -}}{{- $_ := set $mounts "nats-nkey" (dict "secret" .) -}}{{- end -}}
{{- end -}}
{{- with include "jobwire.natsTlsSecret" . -}}
{{- $keys := without (list $root.Values.nats.tls.ca $root.Values.nats.tls.cert $root.Values.nats.tls.key) "" -}}
{{- $_ := set $mounts "nats-tls" (dict "secret" (dict "name" . "keys" $keys)) -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}

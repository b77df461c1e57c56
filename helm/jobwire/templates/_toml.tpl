{{/* The gateway's configuration file. JSON's strings and arrays of strings are TOML's, too. */}}

{{/* Numbers of values arrive as floating point, which the gateway would refuse. */}}
{{- define "jobwire.tomlValue" -}}
{{- if or (kindIs "float64" .) (kindIs "int64" .) (kindIs "int" .) -}}
{{- int64 . -}}
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.tomlPairs" -}}
{{- range $key, $value := . }}
{{- if not (or (kindIs "invalid" $value) (and (kindIs "string" $value) (eq $value ""))) }}
{{ $key }} = {{ include "jobwire.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "jobwire.toml" -}}
# Written by the Helm chart from `config`, `auth` and `tls`. Listeners, NATS and the stream come
# from the command line and the environment.
{{- include "jobwire.tomlPairs" (omit .Values.config "route") }}
{{- if .Values.tls.enabled }}

[tls]
certificate = {{ printf "/etc/jobwire/tls/%s" .Values.tls.cert | toJson }}
key = {{ printf "/etc/jobwire/tls/%s" .Values.tls.key | toJson }}
{{- end }}
{{- if .Values.auth.enabled }}

[auth]
{{- include "jobwire.tomlPairs" (include "jobwire.authSettings" . | fromJson) }}
{{- end }}
{{- range .Values.config.route }}

[[route]]
{{- include "jobwire.tomlPairs" . }}
{{- end }}
{{ end -}}

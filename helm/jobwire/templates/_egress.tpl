{{/* What every pod of the chart may reach: names, and NATS at the ports of its address. */}}

{{- define "jobwire.egressToNats" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
- ports:
    {{- range include "jobwire.natsPorts" . | fromJsonArray }}
    - port: {{ int64 . }}
      protocol: TCP
    {{- end }}
  {{- with .Values.networkPolicy.nats }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The port of an http or https address. */}}
{{- define "jobwire.urlPort" -}}
{{- $host := get (urlParse .) "host" -}}
{{- $default := ternary "443" "80" (hasPrefix "https:" .) -}}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default $default -}}
{{- end -}}

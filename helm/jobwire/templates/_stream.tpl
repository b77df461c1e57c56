{{/* The stream's definition: nats/stream.json, once as the server's JSON and once for NACK. */}}

{{- define "jobwire.streamDescription" -}}
Events of long-running jobs: jobs.<kind>.<job>.<event type>. Append only; ids are its sequences.
{{- end -}}

{{- define "jobwire.streamDefinition" -}}
{{- with .Values.stream -}}
{
  "name": {{ toRawJson .name }},
  "description": {{ include "jobwire.streamDescription" $ | toRawJson }},
  "subjects": {{ toRawJson .subjects }},
  "retention": "limits",
  "storage": "file",
  "num_replicas": {{ int64 .replicas }},
  "discard": "old",
  "max_age": {{ include "jobwire.nanoseconds" .maxAge }},
  "max_bytes": {{ int64 .maxBytes }},
  "max_msgs": -1,
  "max_msgs_per_subject": -1,
  "max_msg_size": {{ int64 .maxMsgSize }},
  "max_consumers": {{ int64 .maxConsumers }},
  "duplicate_window": {{ include "jobwire.nanoseconds" .duplicateWindow }},
  "allow_direct": true,
  "allow_rollup_hdrs": false,
  "deny_delete": true,
  "deny_purge": true
}
{{- end -}}
{{- end -}}

{{/* Every value is given, defaults too: what is left out, the controller fills in and then sees as a change. */}}
{{- define "jobwire.nackStream" -}}
{{- with .Values.stream -}}
name: {{ .name | quote }}
description: {{ include "jobwire.streamDescription" $ | quote }}
subjects:
  {{- toYaml .subjects | nindent 2 }}
retention: limits
storage: file
replicas: {{ int64 .replicas }}
discard: old
maxAge: {{ include "jobwire.goDuration" .maxAge | quote }}
maxBytes: {{ int64 .maxBytes }}
maxMsgs: -1
maxMsgsPerSubject: -1
maxMsgSize: {{ int64 .maxMsgSize }}
maxConsumers: {{ int64 .maxConsumers }}
duplicateWindow: {{ include "jobwire.goDuration" .duplicateWindow | quote }}
allowDirect: true
allowRollup: false
denyDelete: true
denyPurge: true
preventDelete: {{ .nack.preventDelete }}
{{- with .nack.account }}
account: {{ . | quote }}
{{- end }}
{{- with .nack.servers }}
servers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.nats.domain }}
jsDomain: {{ . | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "jobwire.streamMounts" -}}
{{- $name := printf "%s-stream" (include "jobwire.fullname" .) -}}
{{- $definition := dict "configMap" (dict "name" $name "key" "stream.json") -}}
{{- $mounts := include "jobwire.natsMounts" (list . .Values.stream.job) | fromJson -}}
{{- toJson (set $mounts "stream" $definition) -}}
{{- end -}}

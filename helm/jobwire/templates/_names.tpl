{{/* Names, labels and images: what every object is called. */}}

{{- define "jobwire.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 40 characters, so that every suffix still fits into 63. */}}
{{- define "jobwire.fullname" -}}
{{- $name := include "jobwire.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.selectorLabels" -}}
app.kubernetes.io/name: {{ include "jobwire.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "jobwire.labels" -}}
{{ include "jobwire.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "jobwire.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "jobwire.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.image" -}}
{{- $image := .Values.image.repository -}}
{{- with .Values.global.imageRegistry | default .Values.image.registry -}}
{{- $image = printf "%s/%s" . $image -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $image .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.imagePullSecrets" -}}
{{- with concat (.Values.global.imagePullSecrets | default list) .Values.imagePullSecrets -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Labels with some more, which win: (list $ labels). */}}
{{- define "jobwire.labelsAnd" -}}
{{- toYaml (merge (dict) (index . 1) (include "jobwire.labels" (index . 0) | fromYaml)) -}}
{{- end -}}

{{- define "jobwire.annotations" -}}
{{- with . -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Where pods of the cluster reach the gateways. */}}
{{- define "jobwire.serviceUrl" -}}
{{- $scheme := ternary "https" "http" .Values.tls.enabled -}}
{{- printf "%s://%s.%s.svc:%d" $scheme (include "jobwire.fullname" .) .Release.Namespace (int64 .Values.service.port) -}}
{{- end -}}

{{- /* A file's text, with its runbooks below the address that was given: (list root file). */ -}}
{{- define "jobwire.withRunbooks" -}}
{{- $text := index . 1 | toString -}}
{{- with (index . 0).Values.runbooks }}{{ $text = replace "docs/runbooks/" (print . "/") $text }}{{ end -}}
{{- $text -}}
{{- end }}

{{/* Times such as "1m 30s", as the gateway reads them. */}}

{{- define "jobwire.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d)" . -1 -}}
{{- $count := regexFind "^[0-9]+" . | int64 -}}
{{- $total = add $total (mul $count (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{- define "jobwire.secondsRoundedUp" -}}
{{- div (add (include "jobwire.milliseconds" . | int64) 999) 1000 -}}
{{- end -}}

{{- define "jobwire.nanoseconds" -}}
{{- mul (include "jobwire.milliseconds" . | int64) 1000000 -}}
{{- end -}}

{{/* Go knows no days, and no blanks. */}}
{{- define "jobwire.goDuration" -}}
{{- $milliseconds := include "jobwire.milliseconds" . | int64 -}}
{{- if mod $milliseconds 3600000 | eq 0 -}}
{{- printf "%dh" (div $milliseconds 3600000) -}}
{{- else if mod $milliseconds 1000 | eq 0 -}}
{{- printf "%ds" (div $milliseconds 1000) -}}
{{- else -}}
{{- printf "%dms" $milliseconds -}}
{{- end -}}
{{- end -}}

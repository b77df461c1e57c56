{{/* Tokens: the settings, and the mounts of the keys they name. */}}

{{- define "jobwire.authSettings" -}}
{{- with .Values.auth -}}
{{- $settings := dict "mode" "jwt" "jwks_url" .jwks.url "jwks_refresh" .jwks.refresh "jwks_max_age" .jwks.maxAge
      "leeway" .leeway "max_token" .maxToken -}}
{{- if .hmac.secret.name -}}
{{- $_ := set $settings "secret_file" (printf "/etc/jobwire/auth-hmac/%s" .hmac.secret.key) -}}
{{- end -}}
{{- if .jwks.secret.name -}}
{{- $_ := set $settings "jwks_file" (printf "/etc/jobwire/auth-jwks/%s" .jwks.secret.key) -}}
{{- else if .jwks.configMap.name -}}
{{- $_ := set $settings "jwks_file" (printf "/etc/jobwire/auth-jwks/%s" .jwks.configMap.key) -}}
{{- end -}}
{{- $keys := list -}}
{{- range $index, $key := .publicKeys -}}
{{- $id := ternary (printf ":%s" $key.kid) "" (not (empty $key.kid)) -}}
{{- $source := $key.secret | default $key.configMap -}}
{{- $keys = append $keys (printf "%s%s=/etc/jobwire/auth-key-%d/%s" $key.algorithm $id $index $source.key) -}}
{{- end -}}
{{- range $name, $list := dict "public_keys" $keys "audience" .audience "issuer" .issuer
      "default_watch" .defaultWatch "default_publish" .defaultPublish -}}
{{- if $list -}}{{- $_ := set $settings $name $list -}}{{- end -}}
{{- end -}}
{{- toJson $settings -}}
{{- end -}}
{{- end -}}

{{/* The mounts as a JSON object: name of the mount → where it comes from. */}}
{{- define "jobwire.authMounts" -}}
{{- $mounts := dict -}}
{{- with .Values.auth -}}
{{- if .enabled -}}
{{- if .hmac.secret.name -}}{{- $_ := set $mounts "auth-hmac" (dict "secret" .hmac.secret) -}}{{- end -}}
{{- if .jwks.secret.name -}}{{- $_ := set $mounts "auth-jwks" (dict "secret" .jwks.secret) -}}{{- end -}}
{{- if .jwks.configMap.name -}}{{- $_ := set $mounts "auth-jwks" (dict "configMap" .jwks.configMap) -}}{{- end -}}
{{- range $index, $key := .publicKeys -}}
{{- $_ := set $mounts (printf "auth-key-%d" $index) (pick $key "secret" "configMap") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $mounts -}}
{{- end -}}

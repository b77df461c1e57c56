{{/* What the schema cannot say: values that contradict each other. Each ends in a sentence. */}}

{{- define "jobwire.checks" -}}
{{- include "jobwire.checkNats" . -}}
{{- include "jobwire.checkStream" . -}}
{{- include "jobwire.checkTls" . -}}
{{- include "jobwire.checkAuth" . -}}
{{- include "jobwire.checkStopping" . -}}
{{- include "jobwire.checkEnvironment" . -}}
{{- include "jobwire.checkAvailability" . -}}
{{- include "jobwire.checkExposure" . -}}
{{- end -}}

{{/* The identities that are named, as a JSON array: (list "nats" .Values.nats). */}}
{{- define "jobwire.identities" -}}
{{- $where := index . 0 -}}
{{- $named := list -}}
{{- range $kind := list "credentials" "nkey" "user" -}}
{{- if (get (index $ 1) $kind).secret.name -}}
{{- $named = append $named (printf "%s.%s.secret.name" $where $kind) -}}
{{- end -}}
{{- end -}}
{{- toJson $named -}}
{{- end -}}

{{- define "jobwire.checkOneIdentity" -}}
{{- $named := include "jobwire.identities" . | fromJsonArray -}}
{{- if gt (len $named) 1 -}}
{{- fail (printf "%s: NATS takes one identity; name one of them" (join " and " $named)) -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.checkNats" -}}
{{- with .Values.nats -}}
{{- if not (or .enabled .url) -}}
{{- fail "nats.url: name the NATS servers, such as nats://nats.nats.svc:4222, or start one for a trial with nats.enabled=true" -}}
{{- end -}}
{{- include "jobwire.checkOneIdentity" (list "nats" .) -}}
{{- if and .domain .apiPrefix -}}
{{- fail "nats.apiPrefix: give it or nats.domain, not both" -}}
{{- end -}}
{{- if ne (empty .tls.cert) (empty .tls.key) -}}
{{- fail "nats.tls.cert and nats.tls.key go together: name the keys of both, or of neither" -}}
{{- end -}}
{{- if and .tls.enabled (not .tls.secretName) (not .tls.first) -}}
{{- fail "nats.tls.secretName: name the secret with the authority, or leave nats.tls off and write tls:// in nats.url where a public authority signed" -}}
{{- end -}}
{{- if and .tls.secretName (not .tls.enabled) -}}
{{- fail "nats.tls.secretName is given, but nats.tls.enabled is false: set it, or leave the secret out" -}}
{{- end -}}
{{- if and .tls.secretName (not (or .tls.ca .tls.cert)) -}}
{{- fail "nats.tls.secretName is given, but neither nats.tls.ca nor nats.tls.cert: name a key of it" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.checkStream" -}}
{{- $job := .Values.stream.job -}}
{{- $own := include "jobwire.identities" (list "stream.job" $job) | fromJsonArray -}}
{{- if eq .Values.stream.manage "job" -}}
{{- include "jobwire.checkOneIdentity" (list "stream.job" $job) -}}
{{- $gateway := include "jobwire.identities" (list "nats" .Values.nats) | fromJsonArray -}}
{{- if and $gateway (not $own) -}}
{{- fail "stream.manage is job, which needs credentials of its own: name a secret in stream.job.credentials, stream.job.nkey or stream.job.user; the gateway's may not create streams" -}}
{{- end -}}
{{- else if $own -}}
{{- fail (printf "%s is given, but stream.manage is %s: a stream has one owner; set it to job, or leave the secret out" (first $own) .Values.stream.manage) -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.checkTls" -}}
{{- if and .Values.tls.enabled (not .Values.tls.secretName) -}}
{{- fail "tls.secretName: name the secret with the certificate and its key" -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.checkAuth" -}}
{{- with .Values.auth -}}
{{- $sets := without (list .jwks.url .jwks.secret.name .jwks.configMap.name) "" -}}
{{- $keys := concat $sets .publicKeys (without (list .hmac.secret.name) "") -}}
{{- if and .enabled (not $keys) -}}
{{- fail "auth.enabled needs keys to check tokens with: auth.jwks.url, auth.jwks.secret, auth.jwks.configMap, auth.hmac.secret or auth.publicKeys" -}}
{{- end -}}
{{- if and $keys (not .enabled) -}}
{{- fail "auth has keys, but auth.enabled is false, which would let everybody in: set it, or leave the keys out" -}}
{{- end -}}
{{- if gt (len $sets) 1 -}}
{{- fail "auth.jwks: give one of url, secret and configMap" -}}
{{- end -}}
{{- if and (or .jwks.refresh .jwks.maxAge) (not $sets) -}}
{{- fail "auth.jwks.refresh and auth.jwks.maxAge are about a JWK set: give auth.jwks.url, auth.jwks.secret or auth.jwks.configMap" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The gateway takes up to 2 s more than its drain time; the rest is for a slow node. */}}
{{- define "jobwire.checkStopping" -}}
{{- $drain := include "jobwire.secondsRoundedUp" .Values.config.drain | int64 -}}
{{- $sleep := int64 .Values.preStopSleepSeconds -}}
{{- $grace := int64 .Values.terminationGracePeriodSeconds -}}
{{- $needed := add $sleep $drain 10 -}}
{{- if gt $needed $grace -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short: preStopSleepSeconds %d, config.drain %s and 10 s to spare are %d s; with less the kubelet kills a gateway that still closes connections" $grace $sleep .Values.config.drain $needed) -}}
{{- end -}}
{{- end -}}

{{/* The environment wins over the file, so what the chart relies on must not stand there. */}}
{{- define "jobwire.checkEnvironment" -}}
{{- $owners := dict "JOBWIRE_CONFIG" "config" "JOBWIRE_LISTEN" "bindAddress" "JOBWIRE_ADMIN_LISTEN" "bindAddress"
      "JOBWIRE_DRAIN" "config.drain" "JOBWIRE_MAX_CONNECTIONS" "config.max_connections"
      "JOBWIRE_STREAM" "stream.name" "JOBWIRE_TLS_CERTIFICATE" "tls" "JOBWIRE_TLS_KEY" "tls"
      "JOBWIRE_AUTH_MODE" "auth.enabled" -}}
{{- range .Values.extraEnv -}}
{{- $owner := get $owners .name | default (ternary "nats" "" (hasPrefix "NATS_" .name)) -}}
{{- if $owner -}}
{{- fail (printf "extraEnv: %s would win over what the chart sets: use %s" .name $owner) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.checkAvailability" -}}
{{- $least := int64 .Values.replicaCount -}}
{{- with .Values.autoscaling -}}
{{- if .enabled -}}
{{- $least = int64 .minReplicas -}}
{{- if gt (int64 .minReplicas) (int64 .maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d" (int64 .minReplicas) (int64 .maxReplicas)) -}}
{{- end -}}
{{- if not (or .targetCPUUtilizationPercentage .targetConnections) -}}
{{- fail "autoscaling needs something to go by: targetCPUUtilizationPercentage or targetConnections" -}}
{{- end -}}
{{- $requests := $.Values.resources.requests | default dict -}}
{{- if and .targetCPUUtilizationPercentage (not $requests.cpu) -}}
{{- fail "autoscaling.targetCPUUtilizationPercentage is a part of resources.requests.cpu: set that" -}}
{{- end -}}
{{- if and .targetConnections (ge (int64 .targetConnections) (int64 $.Values.config.max_connections)) -}}
{{- fail (printf "autoscaling.targetConnections: %d is not below config.max_connections, %d: pods would refuse clients before there are more of them" (int64 .targetConnections) (int64 $.Values.config.max_connections)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) (not (kindIs "string" .minAvailable)) (ge (int64 .minAvailable) $least) -}}
{{- fail (printf "podDisruptionBudget.minAvailable: %d of %d pods would keep every node from being drained" (int64 .minAvailable) $least) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "jobwire.checkExposure" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: name a host, such as {host: jobs.example.com, paths: [{path: /, pathType: Prefix}]}" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway, such as {name: public, namespace: gateways}" -}}
{{- end -}}
{{- if and (ne .Values.service.type "LoadBalancer") (or .Values.service.loadBalancerClass .Values.service.loadBalancerSourceRanges) -}}
{{- fail "service.loadBalancerClass and service.loadBalancerSourceRanges need service.type LoadBalancer" -}}
{{- end -}}
{{- if and (eq .Values.service.type "ClusterIP") .Values.service.externalTrafficPolicy -}}
{{- fail "service.externalTrafficPolicy needs service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- if and (eq .Values.service.type "ClusterIP") .Values.service.nodePort -}}
{{- fail "service.nodePort needs service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- end -}}

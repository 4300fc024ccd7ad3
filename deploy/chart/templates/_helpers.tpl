{{- define "mirror.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* A text as a part of a host name, with a checksum of what is cut off: two long names stay two. Takes both in a list. */ -}}
{{- define "mirror.atMost" -}}
{{- $most := int (index . 0) -}}
{{- $text := index . 1 | replace "." "-" -}}
{{- if gt (len $text) $most -}}
{{- $text = printf "%s-%s" (trunc (int (sub $most 6)) $text | trimAll "-") (index . 1 | sha256sum | trunc 5) -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{- /* A CronJob's name has 52 characters at most: its Jobs get 11 more. Dots, which a release's name may have, are for neither Services nor Indexed Jobs. */ -}}
{{- define "mirror.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- include "mirror.atMost" (list 52 .Values.fullnameOverride) -}}
{{- else if contains (include "mirror.name" .) .Release.Name -}}
{{- include "mirror.atMost" (list 52 .Release.Name) -}}
{{- else -}}
{{- include "mirror.atMost" (list 52 (printf "%s-%s" .Release.Name (include "mirror.name" .))) -}}
{{- end -}}
{{- end -}}

{{- define "mirror.selector" -}}
app.kubernetes.io/name: {{ include "mirror.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "mirror.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "mirror.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "mirror.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "mirror.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "mirror.configMap" -}}
{{- default (printf "%s-config" (include "mirror.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "mirror.image" -}}
{{- with .Values.image -}}
image: {{ if .digest }}{{ printf "%s@%s" .repository .digest | quote }}{{ else }}{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) | quote }}{{ end }}
imagePullPolicy: {{ .pullPolicy | quote }}
{{- end -}}
{{- end -}}

{{- define "mirror.awsEnv" -}}
{{- with .Values.awsSecret }}
{{- if .name }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_ACCOUNT" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.awsSecret.name | quote }}
      key: {{ $key }}
      optional: {{ $.Values.awsSecret.optional }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Bytes of a quantity, 10^15 at most; nothing for what is none. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ */ -}}
{{- define "mirror.bytes" -}}
{{- $text := ternary (toJson .) (toString .) (kindIs "float64" .) -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $factor := get $factors $unit -}}
{{- if regexMatch "^[eE][0-9]+$" $unit -}}
{{- $factor = float64 (printf "1e%s" (substr 1 -1 $unit)) -}}
{{- end -}}
{{- if and $number $factor -}}
{{- $bytes := mulf (float64 $number) (float64 $factor) -}}
{{- if gt $bytes 1e15 }}{{ $bytes = 1e15 }}{{ end -}}
{{- printf "%.0f" $bytes -}}
{{- end -}}
{{- end -}}

{{- /* What blobs may take of the disk: Kubernetes evicts a pod that takes more than the disk has, and does not refuse the write. */ -}}
{{- define "mirror.spoolBytes" -}}
{{- $least := "" -}}
{{- $limits := default dict (default dict .Values.resources).limits -}}
{{- range list .Values.temporarySize (index $limits "ephemeral-storage") -}}
{{- $bytes := include "mirror.bytes" (default "" .) -}}
{{- if $bytes -}}
{{- if or (not $least) (lt (int64 $bytes) (int64 $least)) }}{{ $least = $bytes }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $least }}{{ div (mul (int64 $least) 9) 10 }}{{ end -}}
{{- end -}}

{{- define "mirror.env" -}}
{{- include "mirror.awsEnv" . }}
{{- with include "mirror.spoolBytes" . }}
- name: IMAGE_REPLICATION_SPOOL_BYTES
  value: {{ . | quote }}
{{- end }}
{{- range $key, $value := .Values.env }}
- name: {{ $key | upper | replace "-" "_" | quote }}
  {{- /* Numbers of a values file are floating: an account would be 1.23456789012e+11. */}}
  value: {{ ternary (toJson $value) (toString $value) (kindIs "float64" $value) | quote }}
{{- end }}
{{- if .Values.registrySecret }}
- name: DOCKER_CONFIG
  value: /etc/registry
{{- end }}
- name: TMPDIR
  value: /tmp
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* The list of variables with each name once, the last of them, as Kubernetes would take it: server-side apply (helm 4) refuses two. */ -}}
{{- define "mirror.onceEach" -}}
{{- $variables := fromYamlArray . -}}
{{- $last := dict -}}
{{- range $index, $variable := $variables }}{{ $_ := set $last $variable.name $index }}{{ end -}}
{{- $kept := list -}}
{{- range $index, $variable := $variables }}
{{- if eq $index (get $last $variable.name) }}{{ $kept = append $kept $variable }}{{ end }}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{- define "mirror.temporaryVolume" -}}
- name: tmp
  emptyDir:
    {{- with .Values.temporarySize }}
    sizeLimit: {{ . | quote }}
    {{- else }} {}
    {{- end }}
{{- end -}}

{{- define "mirror.registryVolume" -}}
{{- with .Values.registrySecret }}
- name: registry
  secret:
    secretName: {{ . | quote }}
    items:
      - key: .dockerconfigjson
        path: config.json
{{- end }}
{{- end -}}

{{- define "mirror.pod" -}}
metadata:
  labels:
    {{- include "mirror.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "mirror.serviceAccount" . | quote }}
  # Kubernetes' own interface is not asked; IRSA and EKS pod identity bring tokens of their own.
  automountServiceAccountToken: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- if eq .Values.mode "cronjob" }}
  restartPolicy: Never
  {{- end }}
  terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  containers:
    - name: mirror
      {{- include "mirror.image" . | nindent 6 }}
      args:
        - mirror
        - --config
        - /app/src/config.ini
        - --out
        - /tmp/out
        {{- if eq .Values.mode "cronjob" }}
        - --once
        {{- else }}
        - --port
        - {{ .Values.port | quote }}
        {{- end }}
        {{- with .Values.target }}
        - --target
        - {{ . | quote }}
        {{- end }}
        {{- with .Values.platforms }}
        - --platforms
        - {{ . | quote }}
        {{- end }}
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        {{- include "mirror.onceEach" (include "mirror.env" .) | nindent 8 }}
      {{- if eq .Values.mode "deployment" }}
      ports:
        - name: http
          containerPort: {{ .Values.port }}
      livenessProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 30
        timeoutSeconds: 5
        failureThreshold: 4
      readinessProbe:
        httpGet:
          path: /healthz
          port: http
        periodSeconds: 15
        timeoutSeconds: 5
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: db
          mountPath: /db
        # The folder, not the file: a file that is mounted by subPath does not change with its ConfigMap.
        - name: config
          mountPath: /app/src
          readOnly: true
        - name: tmp
          mountPath: /tmp
        {{- if .Values.registrySecret }}
        - name: registry
          mountPath: /etc/registry
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    - name: db
      {{- if .Values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ default (include "mirror.fullname" .) .Values.persistence.existingClaim | quote }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - name: config
      configMap:
        name: {{ include "mirror.configMap" . | quote }}
    {{- include "mirror.temporaryVolume" . | nindent 4 }}
    {{- with include "mirror.registryVolume" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

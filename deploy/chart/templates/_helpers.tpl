{{- define "mirror.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "mirror.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "mirror.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- /* A CronJob's name has 52 characters at most: its Jobs get 11 more. */ -}}
{{- printf "%s-%s" .Release.Name (include "mirror.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "mirror.selector" -}}
app.kubernetes.io/name: {{ include "mirror.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
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
imagePullPolicy: {{ .pullPolicy }}
{{- end -}}
{{- end -}}

{{- define "mirror.awsEnv" -}}
{{- with .Values.awsSecret }}
{{- if .name }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_ACCOUNT" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.awsSecret.name }}
      key: {{ $key }}
      optional: {{ $.Values.awsSecret.optional }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "mirror.registryVolume" -}}
{{- with .Values.registrySecret }}
- name: registry
  secret:
    secretName: {{ . }}
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
  serviceAccountName: {{ include "mirror.serviceAccount" . }}
  # Kubernetes' own interface is not asked; IRSA and EKS pod identity bring tokens of their own.
  automountServiceAccountToken: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if eq .Values.mode "cronjob" }}
  restartPolicy: Never
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
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
        {{- with include "mirror.awsEnv" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- range $key, $value := .Values.env }}
        - name: {{ $key | upper | replace "-" "_" }}
          value: {{ $value | quote }}
        {{- end }}
        {{- if .Values.registrySecret }}
        - name: DOCKER_CONFIG
          value: /etc/registry
        {{- end }}
        - name: TMPDIR
          value: /tmp
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
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
  volumes:
    - name: db
      {{- if .Values.persistence.enabled }}
      persistentVolumeClaim:
        claimName: {{ default (include "mirror.fullname" .) .Values.persistence.existingClaim }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - name: config
      configMap:
        name: {{ include "mirror.configMap" . }}
    - name: tmp
      emptyDir:
        sizeLimit: {{ .Values.temporarySize }}
    {{- with include "mirror.registryVolume" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end -}}

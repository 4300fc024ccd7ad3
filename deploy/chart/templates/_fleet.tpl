{{- define "fleet.enabled" -}}
{{- if hasPrefix "fleet-" .Values.mode }}true{{ end -}}
{{- end -}}

{{- /* What the schema cannot say. */ -}}
{{- define "fleet.check" -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "mode %s needs Kubernetes 1.29, which repeats the indexes of a Job one by one (backoffLimitPerIndex): the cluster has %s" .Values.mode .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- with .Values.fleet -}}
{{- if and (not .location) (not .volume.enabled) -}}
{{- fail "fleet.location is needed (s3://bucket/prefix), or fleet.volume.enabled: where the runs keep their plans and results" -}}
{{- end -}}
{{- if and .location .volume.enabled -}}
{{- fail "fleet.location and fleet.volume.enabled exclude each other: runs keep their plans and results in one place" -}}
{{- end -}}
{{- if and (eq .status "sqlite") (not $.Values.persistence.enabled) -}}
{{- fail "fleet.status sqlite needs persistence.enabled: the database lies on that volume" -}}
{{- end -}}
{{- if and (eq .status "sqlite") (eq $.Values.persistence.accessMode "ReadWriteOncePod") -}}
{{- fail "fleet.status sqlite needs another persistence.accessMode than ReadWriteOncePod: the planner's pod and a worker's have the volume, on one node" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* An index is added to a Job's name, and both have to fit a host name of 63 characters. */ -}}
{{- define "fleet.workers" -}}
{{- printf "%s-workers" (include "mirror.atMost" (list 48 (include "mirror.fullname" .))) -}}
{{- end -}}

{{- define "fleet.location" -}}
{{- if .Values.fleet.volume.enabled }}/runs{{ else }}{{ .Values.fleet.location | trimSuffix "/" }}{{ end -}}
{{- end -}}

{{- /* The list of variables of all pods, but for the database of the mirror's scheduler. */ -}}
{{- define "fleet.env" -}}
{{- $kept := list -}}
{{- range fromYamlArray (include "mirror.env" .) }}
{{- if ne .name "DB_PATH" }}{{ $kept = append $kept . }}{{ end }}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{- define "fleet.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.fleet.volume.enabled }}
- name: runs
  mountPath: /runs
{{- end }}
{{- if eq .Values.fleet.status "sqlite" }}
- name: db
  mountPath: /db
{{- end }}
{{- if .Values.registrySecret }}
- name: registry
  mountPath: /etc/registry
  readOnly: true
{{- end }}
- name: files
  mountPath: /etc/image-replication
  readOnly: true
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "fleet.volumes" -}}
{{- include "mirror.temporaryVolume" . }}
{{- if .Values.fleet.volume.enabled }}
- name: runs
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-runs" (include "mirror.fullname" .)) .Values.fleet.volume.existingClaim | quote }}
{{- end }}
{{- if eq .Values.fleet.status "sqlite" }}
- name: db
  persistentVolumeClaim:
    claimName: {{ default (include "mirror.fullname" .) .Values.persistence.existingClaim | quote }}
{{- end }}
{{- with include "mirror.registryVolume" . | trim }}
{{ . }}
{{- end }}
- name: files
  configMap:
    name: {{ printf "%s-fleet" (include "mirror.fullname" .) | quote }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* What the pods of a run have in common. Takes the root and the component. */ -}}
{{- define "fleet.podStart" -}}
{{- $ := .root -}}
metadata:
  labels:
    {{- include "mirror.selector" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $.Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $.Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "mirror.serviceAccount" $ | quote }}
  # One container alone asks Kubernetes for something, and has the token mounted.
  automountServiceAccountToken: false
  {{- with $.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  restartPolicy: Never
  terminationGracePeriodSeconds: {{ int64 $.Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml $.Values.podSecurityContext | nindent 4 }}
  {{- with $.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "fleet.affinity" . | fromYaml }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- /* The volume of the status is for one node at a time: a worker goes where the run's pod is, which has planned on it. */ -}}
{{- define "fleet.affinity" -}}
{{- $ := .root -}}
{{- $affinity := deepCopy (default dict $.Values.affinity) -}}
{{- if and (eq .component "worker") (eq $.Values.fleet.status "sqlite") -}}
{{- $pods := default dict $affinity.podAffinity -}}
{{- $labels := set (include "mirror.selector" $ | fromYaml) "app.kubernetes.io/component" "run" -}}
{{- $near := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels) -}}
{{- $field := "requiredDuringSchedulingIgnoredDuringExecution" -}}
{{- $_ := set $affinity "podAffinity" (set $pods $field (append (default list (index $pods $field)) $near)) -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end -}}

{{- /* The container, without its arguments. Takes the root and its resources. */ -}}
{{- define "fleet.container" -}}
{{- include "mirror.image" .root }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end -}}

{{- define "fleet.planArgs" -}}
- {{ .Values.fleet.job }}
{{- if eq .Values.fleet.job "mirror" }}
- --config
- /app/src/config.ini
- --once
{{- end }}
{{- with .Values.target }}
- --target
- {{ . | quote }}
{{- end }}
{{- with .Values.platforms }}
- --platforms
- {{ . | quote }}
{{- end }}
{{- with .Values.fleet }}
{{- with .args }}
{{ toYaml . }}
{{- end }}
{{- if eq .status "sqlite" }}
- --status-store
- sqlite:/db/status.db
{{- else if .status }}
- --status-store
- {{ .status | quote }}
{{- end }}
{{- with .budget }}
- --budget
- {{ . | quote }}
{{- end }}
- --workers
- {{ int64 .parallelism | quote }}
{{- with .shardCount }}
- --shard-count
- {{ int64 . | quote }}
{{- end }}
{{- end }}
- --shards
- $(SHARDS_LOCATION)
- --out
- /tmp/out
{{- end -}}

{{- /* The pod of a run: plans, starts the workers' Job, waits for its end, sums up. */ -}}
{{- define "fleet.runPod" -}}
{{- include "fleet.podStart" (dict "root" . "component" "run") }}
  initContainers:
    - name: plan
      {{- include "fleet.container" (dict "root" . "resources" .Values.resources) | nindent 6 }}
      args:
        {{- include "fleet.planArgs" . | nindent 8 }}
      env:
        {{- include "fleet.runEnv" . | nindent 8 }}
        - name: DB_PATH
          value: /tmp/repository.db
      volumeMounts:
        {{- include "fleet.mounts" . | nindent 8 }}
        {{- with include "fleet.inputMounts" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
    {{- if .Values.fleet.finish }}
    {{- include "fleet.runContainer" . | nindent 4 }}
    {{- end }}
  containers:
    {{- if .Values.fleet.finish }}
    - name: finish
      {{- include "fleet.container" (dict "root" . "resources" .Values.resources) | nindent 6 }}
      args:
        {{- toYaml .Values.fleet.finish | nindent 8 }}
      env:
        {{- include "fleet.runEnv" . | nindent 8 }}
      volumeMounts:
        {{- include "fleet.mounts" . | nindent 8 }}
        {{- with include "fleet.inputMounts" . | trim }}
        {{- . | nindent 8 }}
        {{- end }}
    {{- else }}
    {{- include "fleet.runContainer" . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "fleet.volumes" . | nindent 4 }}
    {{- if eq .Values.fleet.job "mirror" }}
    - name: config
      configMap:
        name: {{ include "mirror.configMap" . | quote }}
    {{- end }}
    - name: kubernetes
      projected:
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: 3600
          - configMap:
              name: kube-root-ca.crt
              items:
                - key: ca.crt
                  path: ca.crt
          - downwardAPI:
              items:
                - path: namespace
                  fieldRef:
                    fieldPath: metadata.namespace
{{- end -}}

{{- define "fleet.inputMounts" -}}
{{- if eq .Values.fleet.job "mirror" }}
- name: config
  mountPath: /app/src
  readOnly: true
{{- end }}
{{- end -}}

{{- define "fleet.runEnv" -}}
# A folder for each attempt: workers of an earlier one keep what they have been given.
- name: RUN
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: SHARDS_LOCATION
  value: {{ printf "%s/$(RUN)" (include "fleet.location" .) | quote }}
{{ include "mirror.onceEach" (include "fleet.env" .) }}
{{- end -}}

{{- define "fleet.runContainer" -}}
- name: run
  {{- include "fleet.container" (dict "root" . "resources" .Values.fleet.runResources) | nindent 2 }}
  args:
    - kubernetes-job
    - --shards
    - $(SHARDS_LOCATION)
    - --template
    - /etc/image-replication/workers.yaml
    - --owner
    - $(JOB_NAME)/$(JOB_UID)
    {{- if .Values.fleet.finish }}
    # What finishes a run would do everything itself while an earlier run goes on.
    - --must-run
    {{- end }}
    - --out
    - /tmp/out
  env:
    - name: JOB_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.labels['batch.kubernetes.io/job-name']
    - name: JOB_UID
      valueFrom:
        fieldRef:
          fieldPath: metadata.labels['batch.kubernetes.io/controller-uid']
    {{- include "fleet.runEnv" . | nindent 4 }}
  volumeMounts:
    {{- include "fleet.mounts" . | nindent 4 }}
    - name: kubernetes
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
{{- end -}}

{{- /* Spec of the Job whose pod runs all this. */ -}}
{{- define "fleet.runJob" -}}
# A pod that is lost is made anew, and takes over the workers that it finds.
backoffLimit: 3
{{- with .Values.fleet.deadlineSeconds }}
# One that never starts, as its image cannot be pulled, would keep all later runs from starting. Planning has as long as the workers.
activeDeadlineSeconds: {{ mul 2 (int64 .) }}
{{- end }}
podFailurePolicy:
  rules:
    # https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    # Wrong values stay wrong.
    - action: FailJob
      onExitCodes:
        operator: In
        values: [2]
    # The workers have tried what failed again and again already.
    - action: FailJob
      onExitCodes:
        containerName: run
        operator: In
        values: [1]
template:
  {{- include "fleet.runPod" . | nindent 2 }}
{{- end -}}

{{- /* The Job of the workers: what a run adds is how many there are, and the folder of the run. */ -}}
{{- define "fleet.workersJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "fleet.workers" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "mirror.labels" . | nindent 4 }}
    app.kubernetes.io/component: worker
spec:
  completionMode: Indexed
  parallelism: {{ int64 .Values.fleet.parallelism }}
  # A shard that fails does not stop the others.
  backoffLimitPerIndex: {{ int64 .Values.fleet.retries }}
  # No two pods at one shard: the next begins when the one before has ended.
  podReplacementPolicy: Failed
  {{- with .Values.fleet.deadlineSeconds }}
  activeDeadlineSeconds: {{ int64 . }}
  {{- end }}
  ttlSecondsAfterFinished: {{ int64 .Values.fleet.keepSeconds }}
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
      # Wrong usage or configuration stays wrong.
      - action: FailIndex
        onExitCodes:
          containerName: worker
          operator: In
          values: [2]
  template:
    {{- include "fleet.podStart" (dict "root" . "component" "worker") | nindent 4 }}
      containers:
        - name: worker
          {{- include "fleet.container" (dict "root" . "resources" .Values.resources) | nindent 10 }}
          # Which shard it is, Kubernetes says by JOB_COMPLETION_INDEX.
          args:
            - worker
            - --shards
            - $(SHARDS_LOCATION)
            - --out
            - /tmp/out
          env:
            {{- include "mirror.onceEach" (include "fleet.env" .) | nindent 12 }}
          volumeMounts:
            {{- include "fleet.mounts" . | nindent 12 }}
      volumes:
        {{- include "fleet.volumes" . | nindent 8 }}
{{- end -}}

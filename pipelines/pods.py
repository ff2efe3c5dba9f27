"""What the steps of every pipeline ask of the cluster: resources, and settings and secrets by name."""

from kfp import dsl, kubernetes

# CPUs and memory, requested and at most.
RESOURCES = {
    "small": ("500m", "1", "1Gi", "4Gi"),
    "data": ("1", "4", "2Gi", "8Gi"),
    "training": ("2", "8", "4Gi", "16Gi"),
}
SHARED_MEMORY = "2Gi"  # at most, of the training step's limit; `secondread.training.preflight` says what GPUs need
SHARED_MEMORY_PATH = "/dev/shm"  # noqa: S108 - where NCCL and RCCL look
RETRIES = 1  # a node that goes away; what is wrong with the input is wrong the second time too
SETTINGS_MAP = "secondread"  # ConfigMap: mlflow-tracking-uri
PATIENT_KEY_SECRET = "secondread-patient-key"  # noqa: S105 - the Secret's name, not its content
PATIENT_KEY_PATH = "/var/run/secrets/secondread"
SIGNING_KEY_SECRET = "secondread-signing-key"  # noqa: S105 - likewise
SIGNING_KEY_PATH = "/var/run/secrets/secondread-signing"
TRUSTED_KEYS_MAP = "secondread-trusted-keys"  # ConfigMap: public keys, one file each
TRUSTED_KEYS_PATH = "/var/run/secondread-trusted-keys"
STORE_SECRET = "secondread-store"  # noqa: S105 - likewise
# Its keys are called as the variables that they become; each may be missing.
STORE_KEYS = (
    *("SECONDREAD_S3_ENDPOINT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"),
    *("OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_REGION_NAME"),
    *("OS_STORAGE_URL", "OS_AUTH_TOKEN", "ST_AUTH", "ST_USER", "ST_KEY"),
)
CATALOGUE_SECRET = "secondread-catalogue"  # noqa: S105 - likewise
CATALOGUE_KEY = "SECONDREAD_CATALOGUE_URI"

ROLLOUTS_CLAIM = "secondread-rollout"  # PersistentVolumeClaim: what is kept of rollouts, the controller's own, and
ROLLOUTS_FOLDER = "rollouts"  # where they are on it
HOME_PATH = "/tmp/var"  # noqa: S108 - SECONDREAD_HOME of a step
ROLLOUTS_PATH = f"{HOME_PATH}/{ROLLOUTS_FOLDER}"  # where a step looks for them


def ask(task: dsl.PipelineTask, size: str) -> dsl.PipelineTask:
    """Give a task its resources, retries and the settings that a pod reads from its environment."""
    cpu_request, cpu_limit, memory_request, memory_limit = RESOURCES[size]
    task.set_cpu_request(cpu_request).set_cpu_limit(cpu_limit)
    task.set_memory_request(memory_request).set_memory_limit(memory_limit)
    task.set_retry(num_retries=RETRIES, backoff_duration="0s")
    return kubernetes.use_config_map_as_env(
        task, config_map_name=SETTINGS_MAP, config_map_key_to_env={"mlflow-tracking-uri": "MLFLOW_TRACKING_URI"}
    )


def with_patient_key(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a task read the key that patient ids are hashed with."""
    return kubernetes.use_secret_as_volume(
        task, secret_name=PATIENT_KEY_SECRET, mount_path=PATIENT_KEY_PATH, optional=True
    )


def with_signing_key(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a task read the private key that models are signed with. Without it the task ends, and says so."""
    return kubernetes.use_secret_as_volume(
        task, secret_name=SIGNING_KEY_SECRET, mount_path=SIGNING_KEY_PATH, optional=True
    )


def with_trusted_keys(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a task read the public keys of whose models it uses. Without them the task ends, and says so."""
    return kubernetes.use_config_map_as_volume(
        task, config_map_name=TRUSTED_KEYS_MAP, mount_path=TRUSTED_KEYS_PATH, optional=True
    )


def with_store(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a task read and write in S3 and Swift."""
    return kubernetes.use_secret_as_env(
        task, secret_name=STORE_SECRET, secret_key_to_env={name: name for name in STORE_KEYS}, optional=True
    )


def with_catalogue(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a task write into the catalogue of versions; its URI has a password."""
    return kubernetes.use_secret_as_env(
        task, secret_name=CATALOGUE_SECRET, secret_key_to_env={CATALOGUE_KEY: CATALOGUE_KEY}, optional=True
    )


def with_rollouts(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Let a task see and carry on rollouts: what is kept of them, the models that they let in, and whose they must be.

    A runtime makes the folders above a mount that the image lacks, as root: no step could write beside the claim. An
    empty volume is anybody's, and is mounted first, since it lies above.

    Never cached: a cluster does not ask whether what a rollout once came to is so still.
    """
    kubernetes.empty_dir_mount(task, volume_name="home", mount_path=HOME_PATH)
    kubernetes.mount_pvc(task, pvc_name=ROLLOUTS_CLAIM, mount_path=ROLLOUTS_PATH, sub_path=ROLLOUTS_FOLDER)
    return with_store(with_trusted_keys(task)).set_caching_options(enable_caching=False)


def with_accelerators(
    task: dsl.PipelineTask,
    *,
    accelerator_type: str,
    accelerator_limit: str,
    node_selector: dict,
) -> dsl.PipelineTask:
    """Give a task accelerators, nodes that have them, and shared memory through which they speak with each other.

    All may be parameters of the pipeline, so that one YAML runs on nodes with and without. Kubeflow's driver leaves
    accelerators out where their type is empty, and reads their number as text: of a whole number it would see nothing,
    and ask for none without a word. A container's own /dev/shm has 64 MB, of which NCCL dies (kubeflow/pipelines#9147);
    what is not written to a volume in memory costs nothing.

    Args:
        task: to give them to.
        accelerator_type: resource name, such as nvidia.com/gpu or amd.com/gpu; empty for none.
        accelerator_limit: how many, as text.
        node_selector: labels that a node must have.
    """
    task.set_accelerator_type(accelerator_type).set_accelerator_limit(accelerator_limit)
    kubernetes.add_node_selector_json(task, node_selector)
    return kubernetes.empty_dir_mount(
        task, volume_name="shared-memory", mount_path=SHARED_MEMORY_PATH, medium="Memory", size_limit=SHARED_MEMORY
    )

"""The training pipeline: from a source of images to a registered model, if it earns it.

    ingest -> preprocess -> train -> evaluate (val) -> quantize -> evaluate (test) -> register
                                        |                             |
                                        gate                          gate

evaluate is one component used twice: on val to stop a hopeless run, and on test for the very graph that will be
served, which is the verdict of record. The test images are looked at once.
"""

from kfp import dsl, kubernetes

from secondread_components.conclude.component import conclude
from secondread_components.evaluate.component import evaluate
from secondread_components.ingest.component import ingest
from secondread_components.preprocess.component import preprocess
from secondread_components.quantize.component import quantize
from secondread_components.register.component import register
from secondread_components.train.component import train as train_model

# What each step asks of the cluster: CPUs and memory, requested and at most.
RESOURCES = {
    "small": ("500m", "1", "1Gi", "4Gi"),
    "data": ("1", "4", "2Gi", "8Gi"),
    "training": ("2", "8", "4Gi", "16Gi"),
}
RETRIES = 1  # a node that goes away; what is wrong with the input is wrong the second time too
SETTINGS_MAP = "secondread"  # ConfigMap: mlflow-tracking-uri
PATIENT_KEY_SECRET = "secondread-patient-key"  # noqa: S105 - the Secret's name, not its content
PATIENT_KEY_PATH = "/var/run/secrets/secondread"


def _ask(task: dsl.PipelineTask, size: str) -> dsl.PipelineTask:
    """Give a task its resources, retries and the settings that a pod reads from its environment."""
    cpu_request, cpu_limit, memory_request, memory_limit = RESOURCES[size]
    task.set_cpu_request(cpu_request).set_cpu_limit(cpu_limit)
    task.set_memory_request(memory_request).set_memory_limit(memory_limit)
    task.set_retry(num_retries=RETRIES, backoff_duration="0s")
    return kubernetes.use_config_map_as_env(
        task, config_map_name=SETTINGS_MAP, config_map_key_to_env={"mlflow-tracking-uri": "MLFLOW_TRACKING_URI"}
    )


@dsl.pipeline(name="secondread-train", description="From a folder of medical images to a registered second reader.")
def train(
    source: str = "phantom://demo",
    source_fingerprint: str = "",
    code_fingerprint: str = "",
    model_name: str = "secondread",
    model_root: str = "",
    ingest_settings: dict = {},  # noqa: B006 - KFP reads the default and never changes it
    preprocess_settings: dict = {},  # noqa: B006
    train_settings: dict = {},  # noqa: B006
    evaluate_settings: dict = {},  # noqa: B006
    quantize_settings: dict = {},  # noqa: B006
    gate: dict = {},  # noqa: B006
):
    """From a source of images to a registered model.

    Args:
        source: URI of the labelled images.
        source_fingerprint: hash of the source's content; part of the cache's key.
        code_fingerprint: hash of the library's sources; part of the cache's key.
        model_name: in the registry and in Triton.
        model_root: folder for <name>/<digest>/; empty for the pipeline's own object store.
        ingest_settings: further fields of IngestConfig.
        preprocess_settings: fields of PreprocessConfig.
        train_settings: further fields of TrainConfig.
        evaluate_settings: fields of EvaluateConfig.
        quantize_settings: fields of QuantizeConfig.
        gate: fields of GateConfig.
    """
    with dsl.ExitHandler(_ask(conclude(name=model_name), "small").set_caching_options(enable_caching=False)):
        images = _ask(
            ingest(
                source=source,
                source_fingerprint=source_fingerprint,
                code_fingerprint=code_fingerprint,
                settings=ingest_settings,
            ),
            "data",
        )
        kubernetes.use_secret_as_volume(
            images, secret_name=PATIENT_KEY_SECRET, mount_path=PATIENT_KEY_PATH, optional=True
        )
        dataset = _ask(preprocess(images=images.outputs["images"], settings=preprocess_settings), "data")
        data = dataset.outputs["dataset"]
        model = _ask(train_model(dataset=data, name=model_name, settings=train_settings), "training")
        on_val = _ask(
            evaluate(
                model=model.outputs["model"],
                dataset=data,
                split="val",
                model_step="train",
                gate=gate,
                settings=evaluate_settings,
            ).set_display_name("evaluate on val"),
            "data",
        )
        with dsl.If(on_val.outputs["Output"] == True, name="gate on val"):  # noqa: E712 - KFP's expression
            chosen = _ask(quantize(model=model.outputs["model"], dataset=data, settings=quantize_settings), "data")
            on_test = _ask(
                evaluate(
                    model=chosen.outputs["quantized"],
                    dataset=data,
                    split="test",
                    model_step="quantize",
                    gate=gate,
                    settings=evaluate_settings,
                ).set_display_name("evaluate on test"),
                "data",
            )
            with dsl.If(on_test.outputs["Output"] == True, name="gate on test"):  # noqa: E712
                # Never cached: a cluster does not ask the registry whether a cached version is still in it, and
                # registering the same model again makes no new version.
                _ask(
                    register(
                        model=chosen.outputs["quantized"],
                        evaluation=on_test.outputs["evaluation"],
                        name=model_name,
                        root=model_root,
                        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                    ),
                    "small",
                ).set_caching_options(enable_caching=False)

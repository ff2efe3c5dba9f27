"""The training pipeline: from a source of images to a registered model, if it earns it.

    ingest -> preprocess -> train -> evaluate (val) -> quantize -> evaluate (test) -> register -> deploy
                                        |                             |                           |
                                        gate                          gate                        if it is asked for
                                        |                             |
                                        refuse                        refuse

evaluate is one component used twice: on val to stop a hopeless run, and on test for the very graph that will be
served, which is the verdict of record. The test images are looked at once. refuse, where a gate says no, takes that to
the version that the registry has of the model, if it has one. deploy is the deployment pipeline, with an
exit handler of its own.
"""

from kfp import dsl

from secondread_components.conclude.component import conclude
from secondread_components.evaluate.component import evaluate
from secondread_components.ingest.component import ingest
from secondread_components.preprocess.component import preprocess
from secondread_components.quantize.component import quantize
from secondread_components.refuse.component import refuse
from secondread_components.register.component import register
from secondread_components.train.component import train as train_model
from secondread_pipelines.deploy import deploy as let_in
from secondread_pipelines.pods import (
    ask,
    with_accelerators,
    with_patient_key,
    with_signing_key,
    with_store,
    with_trusted_keys,
)


@dsl.pipeline(name="secondread-train", description="From a folder of medical images to a registered second reader.")
def train(
    model_root: str,
    source: str = "phantom://demo",
    source_fingerprint: str = "",
    code_fingerprint: str = "",
    model_name: str = "secondread",
    strategy: str = "single",
    devices: str = "1",  # text, since Kubeflow's driver reads amounts of resources as text alone
    nodes: int = 1,
    accelerator_type: str = "",
    node_selector: dict = {},  # noqa: B006 - KFP reads the default and never changes it
    ingest_settings: dict = {},  # noqa: B006
    preprocess_settings: dict = {},  # noqa: B006
    train_settings: dict = {},  # noqa: B006
    evaluate_settings: dict = {},  # noqa: B006
    evaluate_files: str = "",
    quantize_settings: dict = {},  # noqa: B006
    gate: dict = {},  # noqa: B006
    deploy: bool = False,
    reason: str = "by the pipeline train",
    policy: str = "{}",
    control: str = "{}",
):
    """From a source of images to a registered model.

    Args:
        model_root: folder, or s3:// or swift://, for <name>/<digest>/ of a registered model.
        source: URI of the labelled images.
        source_fingerprint: hash of the source's content; part of the cache's key.
        code_fingerprint: hash of the library's sources; part of the cache's key.
        model_name: in the registry and in Triton.
        strategy: who trains: single, ddp, fsdp, ray or trainjob.
        devices: processes on each node, and accelerators of the train step's pod; a whole number, as text.
        nodes: machines, of ray and trainjob.
        accelerator_type: resource name, such as nvidia.com/gpu or amd.com/gpu; empty: the CPU, or what ray's and
            trainjob's own workers have.
        node_selector: labels of the nodes to train on, such as {"pool": "gpu"}.
        ingest_settings: further fields of IngestConfig.
        preprocess_settings: fields of PreprocessConfig.
        train_settings: further fields of TrainConfig.
        evaluate_settings: fields of EvaluateConfig.
        evaluate_files: stands for the content of the files that they name; part of the cache's key.
        quantize_settings: fields of QuantizeConfig.
        gate: fields of GateConfig.
        deploy: end in the deployment pipeline, of the version that was registered.
        reason: why it is let in.
        policy: fields of RolloutConfig, as JSON.
        control: fields of ControlConfig, as JSON.
    """
    with dsl.ExitHandler(
        ask(conclude(name=model_name, last_step="register"), "small").set_caching_options(enable_caching=False)
    ):
        images = ask(
            ingest(
                source=source,
                source_fingerprint=source_fingerprint,
                code_fingerprint=code_fingerprint,
                settings=ingest_settings,
            ),
            "data",
        )
        with_store(with_patient_key(images))
        dataset = ask(preprocess(images=images.outputs["images"], settings=preprocess_settings), "data")
        data = dataset.outputs["dataset"]
        model = ask(
            train_model(
                dataset=data,
                name=model_name,
                strategy=strategy,
                devices=devices,
                nodes=nodes,
                accelerator=accelerator_type,
                settings=train_settings,
            ),
            "training",
        )
        with_accelerators(
            model, accelerator_type=accelerator_type, accelerator_limit=devices, node_selector=node_selector
        )
        on_val = ask(
            evaluate(
                model=model.outputs["model"],
                dataset=data,
                split="val",
                model_step="train",
                gate=gate,
                settings=evaluate_settings,
                named_files="",  # none is read for val
            ).set_display_name("evaluate on val"),
            "data",
        )
        with dsl.If(on_val.outputs["Output"] == False, name="refused on val"):  # noqa: E712 - KFP's expression
            refused = ask(
                refuse(model=model.outputs["model"], judgement=on_val.outputs["evaluation"], name=model_name),
                "small",
            )
            refused.set_caching_options(enable_caching=False)
        with dsl.If(on_val.outputs["Output"] == True, name="gate on val"):  # noqa: E712 - KFP's expression
            chosen = ask(quantize(model=model.outputs["model"], dataset=data, settings=quantize_settings), "data")
            on_test = ask(
                evaluate(
                    model=chosen.outputs["quantized"],
                    dataset=data,
                    split="test",
                    model_step="quantize",
                    gate=gate,
                    settings=evaluate_settings,
                    named_files=evaluate_files,
                ).set_display_name("evaluate on test"),
                "data",
            )
            with dsl.If(on_test.outputs["Output"] == False, name="refused on test"):  # noqa: E712
                refused = ask(
                    refuse(model=chosen.outputs["quantized"], judgement=on_test.outputs["evaluation"], name=model_name),
                    "small",
                )
                refused.set_caching_options(enable_caching=False)
            with dsl.If(on_test.outputs["Output"] == True, name="gate on test"):  # noqa: E712
                # Never cached: a cluster does not ask the registry whether a cached version is still in it, and
                # registering the same model again makes no new version.
                registered = ask(
                    register(
                        model=chosen.outputs["quantized"],
                        evaluation=on_test.outputs["evaluation"],
                        name=model_name,
                        root=model_root,
                        pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                    ),
                    "small",
                )
                with_store(with_signing_key(with_trusted_keys(registered))).set_caching_options(enable_caching=False)
                with dsl.If(deploy == True, name="if it is to be deployed"):  # noqa: E712
                    let_in(
                        model_name=model_name,
                        model_version=registered.outputs["Output"],
                        reason=reason,
                        code_fingerprint=code_fingerprint,
                        policy=policy,
                        control=control,
                    ).set_display_name("deploy").set_caching_options(enable_caching=False)

"""The retraining pipeline: from a child version and the champion to a registered challenger, if it is not worse.

    fetch -> champion -> train -> evaluate (val) -> quantize -> evaluate (test) -> compare -> register
                                     |                             |                  |
                                     gate                          gate               gate
                                     |                             |                  |
                                     refuse                        refuse             refuse

The child has more to learn from and its parent's test split, untouched; the champion learned from the parent. So
neither model has seen the test images, and both are judged on the same ones, in pairs. refuse, where a gate says no,
takes that to the version that the registry has of the model, if it has one.
"""

from kfp import dsl

from secondread_components.champion.component import champion
from secondread_components.compare.component import compare
from secondread_components.conclude.component import conclude
from secondread_components.evaluate.component import evaluate
from secondread_components.fetch.component import fetch
from secondread_components.quantize.component import quantize
from secondread_components.refuse.component import refuse
from secondread_components.register.component import register
from secondread_components.train.component import train
from secondread_pipelines.pods import ask, with_accelerators, with_signing_key, with_store, with_trusted_keys


@dsl.pipeline(name="secondread-retrain", description="From the champion and more images to a challenger.")
def retrain(
    dataset: str,
    parent: str,
    model_root: str,
    dataset_version: str = "",
    parent_version: str = "",
    champion_digest: str = "",
    code_fingerprint: str = "",
    model_name: str = "secondread",
    strategy: str = "single",
    devices: str = "1",  # text, since Kubeflow's driver reads amounts of resources as text alone
    nodes: int = 1,
    accelerator_type: str = "",
    node_selector: dict = {},  # noqa: B006 - KFP reads the default and never changes it
    train_settings: dict = {},  # noqa: B006
    evaluate_settings: dict = {},  # noqa: B006
    evaluate_files: str = "",
    quantize_settings: dict = {},  # noqa: B006
    gate: dict = {},  # noqa: B006
    compare_settings: dict = {},  # noqa: B006
):
    """From a child version and the champion to a registered challenger.

    Args:
        dataset: URI of the child version.
        parent: URI of the version that it grew from and the champion learned from.
        model_root: folder, or s3:// or swift://, for <name>/<digest>/ of a registered model.
        dataset_version: content hash of the child; part of the cache's key.
        parent_version: content hash of the parent; part of the cache's key.
        champion_digest: hash of what the champion serves; part of the cache's key. Empty: whichever it is.
        code_fingerprint: hash of the library's sources; part of the cache's key.
        model_name: in the registry and in Triton.
        strategy: who trains: single, ddp, fsdp, ray or trainjob.
        devices: processes on each node, and accelerators of the train step's pod; a whole number, as text.
        nodes: machines, of ray and trainjob.
        accelerator_type: resource name, such as nvidia.com/gpu or amd.com/gpu; empty: the CPU, or what ray's and
            trainjob's own workers have.
        node_selector: labels of the nodes to train on, such as {"pool": "gpu"}.
        train_settings: further fields of TrainConfig; the preset is by default the champion's.
        evaluate_settings: fields of EvaluateConfig.
        evaluate_files: stands for the content of the files that they name; part of the cache's key.
        quantize_settings: fields of QuantizeConfig.
        gate: fields of GateConfig.
        compare_settings: fields of PairedConfig.
    """
    with dsl.ExitHandler(
        ask(conclude(name=model_name, last_step="register"), "small").set_caching_options(enable_caching=False)
    ):
        fetched = ask(
            fetch(
                uri=dataset,
                content_hash=dataset_version,
                parent=parent,
                parent_version=parent_version,
                code_fingerprint=code_fingerprint,
            ),
            "data",
        )
        data = with_store(fetched).outputs["dataset"]
        served = ask(champion(dataset=data, name=model_name, digest=champion_digest), "small")
        with_store(with_trusted_keys(served))
        before = served.outputs["model"]
        model = ask(
            train(
                dataset=data,
                name=model_name,
                strategy=strategy,
                devices=devices,
                nodes=nodes,
                accelerator=accelerator_type,
                settings=train_settings,
                start=before,
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
            after = chosen.outputs["quantized"]
            on_test = ask(
                evaluate(
                    model=after,
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
                refused = ask(refuse(model=after, judgement=on_test.outputs["evaluation"], name=model_name), "small")
                refused.set_caching_options(enable_caching=False)
            with dsl.If(on_test.outputs["Output"] == True, name="gate on test"):  # noqa: E712
                compared = ask(
                    compare(
                        champion=before,
                        challenger=after,
                        dataset=data,
                        margins=compare_settings,
                        settings=evaluate_settings,
                    ),
                    "data",
                )
                with dsl.If(compared.outputs["Output"] == False, name="refused by the comparison"):  # noqa: E712
                    refused = ask(
                        refuse(model=after, judgement=compared.outputs["comparison"], name=model_name), "small"
                    )
                    refused.set_caching_options(enable_caching=False)
                with dsl.If(compared.outputs["Output"] == True, name="gate on the comparison"):  # noqa: E712
                    # Never cached, as in training; and it refuses a comparison with a champion that is none any more.
                    registered = ask(
                        register(
                            model=after,
                            evaluation=on_test.outputs["evaluation"],
                            comparison=compared.outputs["comparison"],
                            name=model_name,
                            root=model_root,
                            pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                        ),
                        "small",
                    )
                    with_store(with_signing_key(with_trusted_keys(registered))).set_caching_options(
                        enable_caching=False
                    )

"""The deployment pipeline: a registered version goes live by stages, if it earns it, and leaves if it does not.

    verify -> begin rollout -+-> every stage
                             +-> deploy to staging -> load test -> shadow -> canary -> full -> promote
                                 |                    |            |         |         |
                                 gate                 gate         gate      gate      gate

What is decided is the rollout's own (`secondread/rollout/`), by its policy; the load test is the check of its stage
without requests. `every stage` carries the rollout on from its first look to its last, so that no request is shared
while one pod has ended and the next one is not there yet. The steps beside it wait for their part, show its figures and
stop the run where the version was rolled back. Where `secondread rollout control` or a step beside it carries the
rollout on, a step waits; where nobody does, it carries the rollout on itself. A local runner runs one step at a time:
there the first of them goes on to the end.

The exit handler rolls back what has not ended when the run does.
"""

from kfp import dsl

from secondread_components.begin_rollout.component import begin_rollout
from secondread_components.end_rollout.component import end_rollout
from secondread_components.promote.component import promote
from secondread_components.rollout_stage.component import rollout_stage
from secondread_components.verify.component import verify
from secondread_pipelines.pods import ask, with_rollouts, with_store, with_trusted_keys


@dsl.pipeline(name="secondread-deploy", description="From a registered version to the champion that answers.")
def deploy(
    model_name: str = "secondread",
    model_version: str = "challenger",
    reason: str = "by the pipeline deploy",
    code_fingerprint: str = "",
    policy: str = "{}",
    control: str = "{}",
):
    """From a registered version to the champion that answers.

    Args:
        model_name: in the registry and in Triton.
        model_version: number or alias in the registry, of the version that is let in beside the champion.
        reason: why, for the registry and the rollout's record.
        code_fingerprint: hash of the library's sources; an image with others refuses.
        policy: fields of RolloutConfig, as JSON.
        control: fields of ControlConfig, as JSON.
    """
    last = end_rollout(name=model_name, control=control, pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    with dsl.ExitHandler(with_rollouts(ask(last, "small"))):
        verified = ask(verify(name=model_name, version=model_version, code_fingerprint=code_fingerprint), "small")
        with_store(with_trusted_keys(verified)).set_caching_options(enable_caching=False)
        begun = ask(
            begin_rollout(
                verified=verified.outputs["verified"],
                policy=policy,
                control=control,
                reason=reason,
                pipeline_run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            ),
            "small",
        )
        rollout = with_rollouts(begun).outputs["rollout"]

        def passed(stage: str, size: str = "small"):
            task = ask(rollout_stage(rollout=rollout, stage=stage, control=control), size).set_display_name(stage)
            return with_rollouts(task).outputs["Output"] == True  # noqa: E712 - KFP's expression

        passed("every stage", "data")
        with (
            dsl.If(passed("deploy to staging"), name="gate on deploy"),
            dsl.If(passed("load test"), name="gate on the load test"),
            dsl.If(passed("shadow"), name="gate on shadow"),
            dsl.If(passed("canary"), name="gate on canary"),
            dsl.If(passed("full"), name="gate on full"),
        ):
            with_rollouts(ask(promote(rollout=rollout, control=control), "small"))

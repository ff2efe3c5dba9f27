"""Where a training of strategy `trainjob` runs: facts of a cluster, which no recipe should hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from secondread.config.require import require

_BACKENDS = ("kubernetes", "local")


@dataclass(frozen=True)
class TrainJobSettings:
    """Where a training of strategy `trainjob` runs."""

    backend: str = "kubernetes"  # SECONDREAD_TRAINJOB_BACKEND: or `local`: processes of this machine, to try it out
    namespace: str = ""  # SECONDREAD_TRAINJOB_NAMESPACE: empty: the pod's own, or that of the kubeconfig
    runtime: str = "torch-distributed"  # SECONDREAD_TRAINJOB_RUNTIME: the TrainingRuntime that Kubeflow comes with
    image: str = ""  # SECONDREAD_TRAINJOB_IMAGE: that has secondread[train,track]
    claim: str = ""  # SECONDREAD_TRAINJOB_CLAIM: PersistentVolumeClaim that every node mounts, and this machine too
    mount: str = "/mnt/secondread"  # SECONDREAD_TRAINJOB_MOUNT: where; data, output and train.storage lie below it
    cpu: str = "4"  # SECONDREAD_TRAINJOB_CPU: of each node, requested and at most
    memory: str = "16Gi"  # SECONDREAD_TRAINJOB_MEMORY: likewise
    shared_memory: str = "2Gi"  # SECONDREAD_TRAINJOB_SHARED_MEMORY: at most, of `memory`; NCCL dies of a pod's 64 MB
    gpu: str = ""  # SECONDREAD_TRAINJOB_GPU: resource name, nvidia.com/gpu or amd.com/gpu; empty: trained on CPUs
    node_labels: Mapping[str, str] = field(default_factory=dict)  # SECONDREAD_TRAINJOB_NODE_LABELS: `name=value,...`

    def __post_init__(self) -> None:
        require(self.backend in _BACKENDS, f"SECONDREAD_TRAINJOB_BACKEND must be {' or '.join(_BACKENDS)}.")
        require(self.mount.startswith("/"), f"SECONDREAD_TRAINJOB_MOUNT must be absolute, not '{self.mount}'.")

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> TrainJobSettings:
        """Read the environment."""
        names = ("backend", "namespace", "runtime", "image", "claim", "mount", "cpu", "memory", "shared_memory", "gpu")
        given = {name: variables.get(f"SECONDREAD_TRAINJOB_{name.upper()}", "") for name in names}
        labels = variables.get("SECONDREAD_TRAINJOB_NODE_LABELS", "")
        pairs = [label.partition("=") for label in labels.split(",") if label]
        require(
            all(equals for _, equals, _ in pairs),
            f"SECONDREAD_TRAINJOB_NODE_LABELS is '{labels}': expected NAME=VALUE,NAME=VALUE.",
        )
        chosen = {name: value for name, value in given.items() if value}
        return cls(**chosen, node_labels={name: value for name, _, value in pairs})

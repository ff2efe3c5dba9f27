"""How Triton is told to run a graph: its model configuration, as text protobuf.

Source: Triton's model configuration; the parameters are those of its ONNX Runtime backend.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from secondread.errors import IntegrityError
from secondread.model.folder import CONFIG_FILE, ModelFolder
from secondread.model.session import SALIENCY, GraphSession

TRITON_CONFIG_FILE = "config.pbtxt"
GPU_CONFIG_FILE = "configs/gpu.pbtxt"
MAX_BATCH_SIZE = 32  # images; the most that one request may hold
MAX_EXPLAINED = 8  # images; all that the way back needs is kept on the way there

# With two threads the model fills the two CPUs that the InferenceService asks for. A server that knows its own
# limit overrides it: NVIDIA's with `--backend-config=onnxruntime,intra_op_thread_count`, the local one always.
_INTRA_OP_THREADS = 2

_NAME_LINE = re.compile(r'^name: "[^"]*"$', re.MULTILINE)

_CONFIG = """\
name: "{name}"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: {max_batch}
input [ {{ name: "pixels" data_type: TYPE_UINT8 dims: [ 1, {size}, {size} ] }} ]
output [
  {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {classes} ] }},
  {{ name: "embedding" data_type: TYPE_FP32 dims: [ {embedding} ] }},
  {{ name: "ood_score" data_type: TYPE_FP32 dims: [ 1 ] reshape: {{ shape: [ ] }} }}{saliency}
]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
# Requests that wait while a batch runs go together into the next; none waits for company.
dynamic_batching {{ }}
version_policy: {{ latest: {{ num_versions: 1 }} }}
parameters [
  {{ key: "intra_op_thread_count" value: {{ string_value: "{threads}" }} }},
  {{ key: "inter_op_thread_count" value: {{ string_value: "1" }} }}
]
# The first answer is as fast as the second.
model_warmup [ {{
  name: "zeros"
  batch_size: 1
  inputs {{ key: "pixels" value: {{ data_type: TYPE_UINT8 dims: [ 1, {size}, {size} ] zero_data: true }} }}
}} ]
"""
# Not KIND_AUTO above: in a pod without a GPU of its own, NVIDIA's image may see those of the node.
# Each batch size is a shape of its own, and onnxruntime would time every convolution for it; the backend takes the
# search from `parameters` only, over what the accelerator says. TF32 keeps 10 bits of what was evaluated with 23.
_ON_GPU = """\
parameters [ { key: "cudnn_conv_algo_search" value: { string_value: "1" } } ]
optimization { execution_accelerators { gpu_execution_accelerator [
  { name: "cuda" parameters { key: "use_tf32" value: "0" } }
] } }
"""
_SALIENCY = """,
  {{ name: "saliency" data_type: TYPE_FP32 dims: [ {size}, {size} ] }}"""


def triton_config(model: ModelFolder, name: str, graph: Path | None = None) -> str:
    """Triton's configuration of a model, as text protobuf. The graph is run on one black image to learn its shapes.

    Args:
        model: whose `config.json` names size and classes.
        name: of the Triton model.
        graph: of this model; the one to serve by default.
    Raises:
        IntegrityError: the graph does not run, or its classes or size are not those of `config.json`.
    """
    size, classes = model.config.preprocessing.size, len(model.config.taxonomy.classes)
    graph = graph or model.graph_path()
    session = GraphSession(graph)
    outputs = session.run(np.zeros((1, 1, size, size), np.uint8))
    explains = graph == model.explain_path()
    if explains and SALIENCY not in session.outputs:
        raise IntegrityError(f"{graph} gives no '{SALIENCY}', so it explains nothing. Export it again, or remove it.")
    if outputs.probabilities.shape != (1, classes) or outputs.ood_score.shape != (1,):
        raise IntegrityError(
            f"{graph} gives probabilities {outputs.probabilities.shape} and ood_score "
            f"{outputs.ood_score.shape} for one image, but {CONFIG_FILE} names {classes} classes. Export it again."
        )
    return _CONFIG.format(
        name=name,
        max_batch=MAX_EXPLAINED if explains else MAX_BATCH_SIZE,
        size=size,
        classes=classes,
        embedding=outputs.embedding.shape[1],
        threads=_INTRA_OP_THREADS,
        saliency=_SALIENCY.format(size=size) if explains else "",
    )


def on_gpu(config: str) -> str:
    """The configuration of the same model with its instances on GPUs, one on each; it is refused where there is none.

    Args:
        config: as `triton_config` gives it.
    """
    return config.replace("kind: KIND_CPU", "kind: KIND_GPU") + _ON_GPU


def renamed_triton_config(text: str, name: str) -> str:
    """A configuration under another name of the Triton model.

    Args:
        text: as `triton_config` gives it.
        name: of the Triton model.
    Raises:
        IntegrityError: the text names no model.
    """
    renamed, count = _NAME_LINE.subn(f'name: "{name}"', text, count=1)
    if not count:
        raise IntegrityError(f"{TRITON_CONFIG_FILE} has no line `name:`. Register the model again.")
    return renamed

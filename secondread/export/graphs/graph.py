"""An ONNX graph that is being rewritten: who makes a tensor, who uses it, and what is constant.

Nodes are added anywhere; `finish` puts them in order and drops what nothing needs any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

CONTRIB = "com.microsoft"  # onnxruntime's own operators: every build of onnxruntime has them, other runtimes do not


class Graph:
    """One graph, with the look-ups that a rewrite needs.

    Args:
        model: changed in place.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.made_by: dict[str, onnx.NodeProto] = {}
        self.users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            self._note(node)
        self._added: list[onnx.TensorProto] = []

    def _note(self, node: onnx.NodeProto) -> None:
        for name in node.output:
            self.made_by[name] = node
        for name in node.input:
            self.users[name].append(node)

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant; one of that name that is there is kept."""
        if name not in self.constants:
            self.constants[name] = values
            self._added.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        *,
        domain: str = "",
        more: Sequence[str] = (),
        **attributes: Any,
    ) -> str:
        """Add a node; whoever made its first output before no longer does.

        Args:
            kind: of operator.
            inputs: names of tensors.
            output: the first tensor that it makes.
            domain: of the operator.
            more: further tensors that it makes.
            **attributes: of the operator.
        Returns:
            `output`.
        """
        node = helper.make_node(kind, inputs, [output, *more], name=f"{output}_node", domain=domain, **attributes)
        if output in self.made_by:
            self.nodes.remove(self.made_by[output])
        self.nodes.append(node)
        self._note(node)
        return output

    def copy(self, node: onnx.NodeProto, inputs: Sequence[str], output: str) -> str:
        """Add a node like another one, on other tensors."""
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name = f"{output}_node"
        del twin.input[:], twin.output[:]
        twin.input.extend(inputs)
        twin.output.append(output)
        self.nodes.append(twin)
        self._note(twin)
        return output

    def only_user(self, tensor: str) -> onnx.NodeProto | None:
        """The one node that uses a tensor; None where there are more or none, or it is an output of the graph."""
        users = self.users[tensor]
        is_output = any(tensor == output.name for output in self.model.graph.output)
        return users[0] if len(users) == 1 and not is_output else None

    def ancestors(self, *tensors: str) -> set[str]:
        """These tensors and all that they are computed from."""
        found: set[str] = set()
        waiting = list(tensors)
        while waiting:
            tensor = waiting.pop()
            if tensor not in found:
                found.add(tensor)
                node = self.made_by.get(tensor)
                waiting.extend(node.input if node is not None else ())
        return found

    def finish(self) -> onnx.ModelProto:
        """Put the nodes in order and drop what no output needs. The model itself is changed and given back."""
        graph = self.model.graph
        needed = self.ancestors(*(output.name for output in graph.output))
        waiting = [node for node in self.nodes if needed.intersection(node.output)]
        made = {tensor.name for tensor in graph.input} | set(self.constants) | {""}
        ordered: list[onnx.NodeProto] = []
        while waiting:
            ready = [node for node in waiting if made.issuperset(node.input)]
            if not ready:
                raise AssertionError(f"nodes wait for each other: {[node.name for node in waiting][:5]}")
            later = []
            for node in waiting:  # in their order, so that what is ready by then is not put off
                if made.issuperset(node.input):
                    ordered.append(node)
                    made.update(node.output)
                else:
                    later.append(node)
            waiting = later
        # copies: clearing the field would empty the nodes that it holds
        kept = [_twin(node) for node in ordered]
        used = {tensor for node in kept for tensor in node.input}
        constants = [_copied(tensor) for tensor in (*graph.initializer, *self._added) if tensor.name in used]
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(kept)
        graph.initializer.extend(constants)
        domains = {entry.domain for entry in self.model.opset_import}
        if CONTRIB not in domains and any(node.domain == CONTRIB for node in kept):
            self.model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
        return self.model


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or the default where it has none."""
    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def _twin(node: onnx.NodeProto) -> onnx.NodeProto:
    twin = onnx.NodeProto()
    twin.CopyFrom(node)
    return twin


def _copied(tensor: onnx.TensorProto) -> onnx.TensorProto:
    twin = onnx.TensorProto()
    twin.CopyFrom(tensor)
    return twin

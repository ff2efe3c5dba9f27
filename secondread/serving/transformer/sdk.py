"""The parts of the KServe SDK that serving stands on, imported without its side effect.

`kserve.model_server` parses the process's command line while it is imported, so any option of ours that resembles one
of its own would be swallowed, or end the program with the SDK's usage text. It gets an empty command line instead.
It also imports pandas, for requests as data frames; nothing here uses that.
"""

from __future__ import annotations

import sys

_arguments, sys.argv = sys.argv, sys.argv[:1]
try:
    from kserve.model import Model
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import (
        GRPCInferenceServiceServicer,
        GRPCInferenceServiceStub,
        add_GRPCInferenceServiceServicer_to_server,
    )
    from kserve.protocol.rest.server import metrics_handler
finally:
    sys.argv = _arguments

__all__ = [
    "GRPCInferenceServiceServicer",
    "GRPCInferenceServiceStub",
    "Model",
    "add_GRPCInferenceServiceServicer_to_server",
    "messages",
    "metrics_handler",
]

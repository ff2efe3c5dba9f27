"""Load on a server: `locust -f tests/load/locustfile.py --host http://127.0.0.1:8080`, or `secondread loadtest`.

The users are the library's, so that the command works outside a checkout too.
"""

from secondread.serving.load.locustfile import GrpcUser, RestUser, Shape, leave, record

__all__ = ["GrpcUser", "RestUser", "Shape", "leave", "record"]

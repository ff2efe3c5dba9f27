"""The ports: REST and gRPC in one process, and the document that describes them."""

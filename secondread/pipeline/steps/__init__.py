"""The pipelines' steps, one file a component: each checks what it is given, calls the library, seals what it wrote.

Arguments are plain values, since a pipeline can pass nothing else. Each function gives back what the runner should
show. A failure ends the process with its exit code and leaves a record (see `success`).
"""

"""Kubeflow pipelines, one file each; compiled/ holds the YAML that the code gives."""

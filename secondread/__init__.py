"""SecondRead: a second reader for medical images that lives in a team's own Kubeflow."""

__version__ = "0.1.0"

"""Qinglang Pipelines: verbs are files here, nouns are folders; `train.py` runs the verbs."""

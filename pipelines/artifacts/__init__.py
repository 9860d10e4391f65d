"""What travels between verbs: folders written beside and renamed, each with a fingerprint and its inputs."""

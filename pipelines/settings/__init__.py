"""How a configuration becomes one typed object: composed by Hydra, checked against dataclasses, typos named."""

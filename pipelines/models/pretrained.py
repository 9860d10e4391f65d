"""PretrainedEncoder: what `pretrain` leaves for `finetune`; a Hugging Face folder with a masked-language-model head."""

from typing import ClassVar

from pipelines.artifacts.folder import Artifact


class PretrainedEncoder(Artifact):
    """An encoder and its tokenizer, before any label was seen."""

    kind: ClassVar[str] = "pretrained_encoder"

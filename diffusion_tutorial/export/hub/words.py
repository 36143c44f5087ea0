"""The U-Net that reads a sentence, for diffusers. Used in "Meet the professionals"."""

from collections.abc import Sequence

from diffusers.configuration_utils import register_to_config
from torch import Tensor

from diffusion_tutorial.export.hub.network import Network
from diffusion_tutorial.models.text_unet import TextUNet


class WordNetwork(Network):
    """sizes: those of a `TextUNet`, and the words that it knows. walk: see `Network`."""

    @register_to_config
    def __init__(self, sizes: dict, walk: dict):
        super().__init__()
        self.net = TextUNet(**sizes)

    def encode(self, asked: Sequence[str | None]) -> Tensor:
        """The tokens of each sentence, START alone for None; a ValueError that names a word which was never learned."""
        return self.net.tokenizer([sentence or "" for sentence in asked])

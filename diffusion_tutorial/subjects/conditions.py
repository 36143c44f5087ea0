"""What a picture is asked to show, a label or a sentence: how it is read from a command line and from files, and by a network."""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffusion_tutorial import progress
from diffusion_tutorial.models.text_unet import TextUNet
from diffusion_tutorial.models.unet import UNet

ANY = -1  # as a label: none was asked for


class Asked(NamedTuple):
    """What a command line asks for: a condition for each picture, the pictures' numbers, how many fill a block of the page."""

    conditions: list
    pictures: list[int]
    block: int


class Condition:
    """A kind of condition. `key` is its name in files, `option` that of the option for one picture, without dashes."""

    key: str
    option: str

    def options(self, command: argparse.ArgumentParser) -> None:
        """The options of `sample` by which one asks."""
        raise NotImplementedError

    def asked(self, options: argparse.Namespace) -> Asked:
        """What they ask for; a ValueError that names the option if it is no such condition."""
        raise NotImplementedError

    def one_option(self, command: argparse.ArgumentParser, option: str, says: str, required: bool = False) -> None:
        """An option by which one says what one picture shows."""
        raise NotImplementedError

    def one(self, options: argparse.Namespace, option: str) -> Any:
        """What it says; None if it was not given."""
        raise NotImplementedError

    def check(self, net: Any, asked: Sequence, option: str) -> None:
        """A ValueError that names the option, unless the network can be asked for all of it; notes on how it is understood."""

    def encode(self, net: Any, asked: Sequence) -> Tensor:
        """The conditions as the network takes them."""
        raise NotImplementedError

    def fits(self, net: Any) -> bool:
        """Whether a network takes such conditions."""
        raise NotImplementedError

    def array(self, asked: Sequence) -> np.ndarray:
        """The conditions as they stand in an .npz."""
        raise NotImplementedError


class Labels(Condition):
    """One of `names`, by its name or its number from 0 on; ANY leaves it open. `noun`: what messages call one."""

    key, option = "labels", "label"
    plural: str  # of the noun

    def __init__(self, names: Sequence[str], noun: str = "label", plural: str | None = None):
        self.names, self.noun, self.plural = tuple(names), noun, plural or f"{noun}s"

    def options(self, command: argparse.ArgumentParser) -> None:
        self._options(command, 10 * len(self.names), f"{self._first()},...")

    def _options(self, command: argparse.ArgumentParser, n: int, such: str) -> None:
        command.add_argument("--n", type=int, default=n, help="how many pictures (%(default)s)")
        listed = f"{such} repeated in turn; balanced (default); none"
        command.add_argument("--labels", default="balanced", help=listed)

    def asked(self, options: argparse.Namespace) -> Asked:
        n = check_n(options.n)
        named = {"balanced": list(range(len(self.names))), "none": [ANY]}
        one = self.names.index(options.labels) if options.labels in self.names else None
        found: list[int | None] | list[int] = ([one] if one is not None else named.get(options.labels)) or [
            self._number(part) for part in options.labels.split(",")
        ]
        cycle = [label for label in found if label is not None]
        if len(cycle) < len(found):
            wanted = f"{self.plural} with commas between, as {self._first()}, or balanced, or none"
            raise ValueError(f"--labels: expected {wanted}; got {options.labels}")
        return Asked([cycle[i % len(cycle)] for i in range(n)], list(range(n)), n)

    def one_option(self, command: argparse.ArgumentParser, option: str, says: str, required: bool = False) -> None:
        metavar = self.noun.upper()
        command.add_argument(f"--{option}", required=required, metavar=metavar, help=f"{says}: {self._wanted()}")

    def one(self, options: argparse.Namespace, option: str) -> int | None:
        text = getattr(options, option)
        if text is not None and self._number(text) is None:
            raise ValueError(f"--{option}: expected {self._wanted()}, got {text}")
        return None if text is None else self._number(text)

    def encode(self, net: Any, asked: Sequence[int]) -> Tensor:
        cond = torch.tensor(asked)
        return cond.masked_fill(cond == ANY, len(self.names))

    def fits(self, net: Any) -> bool:
        return isinstance(net, UNet) and net.labels == len(self.names) and net.names in (None, self.names)

    def array(self, asked: Sequence[int]) -> np.ndarray:
        return np.array(asked, dtype=np.int64)

    def _number(self, text: str) -> int | None:
        if text in self.names:
            return self.names.index(text)
        return int(text) if text.isdecimal() and int(text) < len(self.names) else None

    def _first(self) -> str:
        return ",".join(self.names[:3])

    def _wanted(self) -> str:
        if self.names == tuple(map(str, range(len(self.names)))):
            return f"a {self.noun} from 0 to {len(self.names) - 1}"
        return f"one of {', '.join(self.names)}"


class Classes(Labels):
    """Labels whose names stand in the weights; none are known before a model is. Of one name only, it stands for any picture."""

    key = "classes"

    def __init__(self, names: Sequence[str] = ()):
        super().__init__(names, "class", "classes")

    def options(self, command: argparse.ArgumentParser) -> None:
        self._options(command, 40, "the folders' names with commas between,")

    def check(self, net: Any, asked: Sequence, option: str) -> None:
        if option == "to" and len(self.names) == 1:
            raise ValueError(f"--to: this model knows no class but {self.names[0]}, so there is nothing to change into")

    def fits(self, net: Any) -> bool:
        return isinstance(net, UNet) and net.names is not None and (not self.names or net.names == self.names)

    def array(self, asked: Sequence[int]) -> np.ndarray:
        return np.array(["" if label == ANY else self.names[label] for label in asked])

    def _wanted(self) -> str:
        return super()._wanted() if self.names else "the name of one of its folders"


class Captions(Condition):
    """A sentence; an empty one leaves everything open."""

    key, option = "prompts", "prompt"

    def __init__(self, example: str):
        self.example = example

    def options(self, command: argparse.ArgumentParser) -> None:
        says = "what to draw; again, for another row"
        command.add_argument("--prompt", action="append", metavar="TEXT", help=says)
        command.add_argument("--n", type=int, default=4, help="how many pictures of each prompt (%(default)s)")

    def asked(self, options: argparse.Namespace) -> Asked:
        if not options.prompt:
            raise ValueError(f'--prompt: say what to draw, for example --prompt "{self.example}"')
        n = check_n(options.n)
        prompts = [prompt for prompt in options.prompt for _ in range(n)]
        return Asked(prompts, list(range(n)) * len(options.prompt), n)

    def one_option(self, command: argparse.ArgumentParser, option: str, says: str, required: bool = False) -> None:
        command.add_argument(f"--{option}", required=required, metavar="TEXT", help=says)

    def one(self, options: argparse.Namespace, option: str) -> str | None:
        return getattr(options, option)

    def check(self, net: Any, asked: Sequence[str], option: str) -> None:
        try:
            net.tokenizer(asked)
            understood = [net.tokenizer.understand(caption) for caption in asked]
        except ValueError as problem:
            raise ValueError(f"--{option}: {problem}") from problem
        for said in dict.fromkeys(said for _, notes in understood for said in notes):
            progress.note(f"--{option}: {said}")
        if not all(words for words, _ in understood):
            progress.note(f"an empty {option} is unconditional: the model draws whatever it likes")

    def encode(self, net: Any, asked: Sequence[str]) -> Tensor:
        return net.tokenizer(asked)

    def fits(self, net: Any) -> bool:
        return isinstance(net, TextUNet)

    def array(self, asked: Sequence[str]) -> np.ndarray:
        return np.array(asked)


def check_n(n: int) -> int:
    """At least one picture."""
    if n < 1:
        raise ValueError(f"--n: expected at least 1 picture, got {n}")
    return n

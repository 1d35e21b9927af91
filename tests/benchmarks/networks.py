"""The networks that the benchmarks train: a tiny MLP, a small CNN and a small GPT, with batches of random data.

It must not know how they are trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Batches = list[tuple[Tensor, Tensor]]
FEATURES, ROWS = 32, 32
WORDS, CONTEXT, WIDTH, HEADS, LAYERS = 512, 96, 192, 4, 3


@dataclass(frozen=True)
class Network:
    """How to make a network, its batches and its loss."""

    make: Callable[[], nn.Module]
    batches: Callable[[torch.Generator], Batches]
    loss: Callable[[Tensor, Tensor], Tensor]


def mlp() -> nn.Module:
    """32 → 32 → 32 with a ReLU between."""
    return nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES))


def mlp_batches(generator: torch.Generator) -> Batches:
    """64 batches of 32 rows and targets."""
    return [_pair(generator, (ROWS, FEATURES), (ROWS, FEATURES)) for _ in range(64)]


def cnn() -> nn.Module:
    """Two convolutions and a linear layer on 28×28 pixels, 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


def cnn_batches(generator: torch.Generator) -> Batches:
    """16 batches of 32 pictures and classes."""
    pictures = [torch.randn(32, 1, 28, 28, generator=generator) for _ in range(16)]
    return [(picture, torch.randint(10, (32,), generator=generator)) for picture in pictures]


class Gpt(nn.Module):
    """A decoder of three layers, 192 wide, over 96 tokens of 512 words."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.head = nn.Linear(WIDTH, WORDS)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))
        self.register_buffer("order", torch.arange(CONTEXT))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token, by batch, place and word."""
        hidden = self.tokens(tokens) + self.places(self.order)
        for layer in self.layers:
            hidden = layer(hidden, src_mask=self.mask, is_causal=True)
        return self.head(hidden)


def gpt_batches(generator: torch.Generator) -> Batches:
    """8 batches of 4 texts and the tokens that follow."""
    texts = [torch.randint(WORDS, (4, CONTEXT + 1), generator=generator) for _ in range(8)]
    return [(text[:, :-1].contiguous(), text[:, 1:].contiguous()) for text in texts]


def _next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def _pair(generator: torch.Generator, *shapes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    first, second = (torch.randn(shape, generator=generator) for shape in shapes)
    return first, second


NETWORKS = {
    "mlp": Network(mlp, mlp_batches, functional.mse_loss),
    "cnn": Network(cnn, cnn_batches, functional.cross_entropy),
    "gpt": Network(Gpt, gpt_batches, _next_token_loss),
}

"""Two small language models, a transformer and an LSTM; bring your own token ids.

It must not know where the text comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import Sampler

from lit_studio.trainer.module import LightningModule

VOCABULARY = 33278


class PositionalEncoding(nn.Module):
    """Adds sine and cosine waves of growing length to embeddings, then dropout.

    Args:
        dim: of an embedding; even.
        dropout: share of the sums that are dropped in training.
        max_len: the longest sequence.
    """

    pe: Tensor

    def __init__(self, dim: int, dropout: float = 0.1, max_len: int = 5000):
        super().__init__()
        self.dim, self.max_len = dim, max_len
        self.dropout = nn.Dropout(dropout)
        places = torch.arange(max_len).unsqueeze(1)
        angles = places * torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
        waves = torch.stack((angles.sin(), angles.cos()), dim=-1).reshape(max_len, dim)
        self.register_buffer("pe", waves.unsqueeze(0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (batch, length, dim) with their places."""
        return self.dropout(x + self.pe[:, : x.size(1)])


class Transformer(nn.Module):
    """An encoder and a decoder over token ids; gives log-probabilities of the next token.

    Args:
        vocab_size: number of token ids.
        ninp: size of an embedding.
        nhead: attention heads.
        nhid: size of the feed-forward layers.
        nlayers: layers of the encoder, and of the decoder.
        dropout: share dropped in training.
    """

    def __init__(
        self,
        vocab_size: int = VOCABULARY,
        ninp: int = 200,
        nhead: int = 2,
        nhid: int = 200,
        nlayers: int = 2,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.ninp, self.vocab_size = ninp, vocab_size
        self.embedding = nn.Embedding(vocab_size, ninp)
        self.pos_encoder = PositionalEncoding(ninp, dropout)
        self.transformer = nn.Transformer(ninp, nhead, nlayers, nlayers, nhid, dropout, batch_first=True)
        self.decoder = nn.Linear(ninp, vocab_size)

    def generate_square_subsequent_mask(self, size: int) -> Tensor:
        """A (size, size) mask that hides from each place all that follow it."""
        return nn.Transformer.generate_square_subsequent_mask(size)

    def forward(self, inputs: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-probabilities, (batch x length, vocab_size), from ids of shape (batch, length)."""
        if mask is None:
            mask = self.generate_square_subsequent_mask(target.size(1)).to(target.device)
        source, so_far = (self.pos_encoder(self.embedding(ids) * math.sqrt(self.ninp)) for ids in (inputs, target))
        output = self.decoder(self.transformer(source, so_far, tgt_mask=mask))
        return functional.log_softmax(output, dim=-1).view(-1, self.vocab_size)


class LightningTransformer(LightningModule):
    """Trains a :class:`Transformer` on batches ``(inputs, target)`` of token ids; pass it a loader."""

    def __init__(self, vocab_size: int = VOCABULARY):
        super().__init__()
        self.model = Transformer(vocab_size=vocab_size)

    def forward(self, inputs: Tensor, target: Tensor) -> Tensor:
        """See :meth:`Transformer.forward`."""
        return self.model(inputs, target)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The negative log-likelihood of the target."""
        inputs, target = batch
        return functional.nll_loss(self(inputs, target), target.reshape(-1))

    def configure_optimizers(self) -> Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SimpleLSTM(nn.Module):
    """Embedding, LSTM and a linear layer; gives log-probabilities of the next token.

    Args:
        vocab_size: number of token ids.
        ninp: size of an embedding.
        nhid: size of the hidden state.
        nlayers: layers of the LSTM.
        dropout: share dropped in training.
    """

    def __init__(
        self, vocab_size: int = VOCABULARY, ninp: int = 512, nhid: int = 512, nlayers: int = 4, dropout: float = 0.2
    ):
        super().__init__()
        self.vocab_size, self.nhid, self.nlayers = vocab_size, nhid, nlayers
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout, batch_first=True)
        self.decoder = nn.Linear(nhid, vocab_size)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw embeddings and the last layer from (-0.1, 0.1); its bias is 0."""
        for layer in (self.encoder, self.decoder):
            nn.init.uniform_(layer.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def init_hidden(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The hidden state and the cell state before the first token, (nlayers, batch, nhid) each."""
        shape = (self.nlayers, batch_size, self.nhid)
        weight = self.decoder.weight
        return weight.new_zeros(shape), weight.new_zeros(shape)

    def forward(self, input: Tensor, hidden: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log-probabilities (batch x length, vocab_size), and the states after the last token."""
        output, hidden = self.rnn(self.drop(self.encoder(input)), hidden)
        decoded = self.decoder(self.drop(output)).view(-1, self.vocab_size)
        return functional.log_softmax(decoded, dim=1), hidden


class SequenceSampler(Sampler[list[int]]):
    """Batches in which each row goes on where the same row of the batch before ended.

    Args:
        dataset: a sequence cut into pieces, in order; what doesn't fill a row is left out.
        batch_size: rows.
    """

    def __init__(self, dataset: Sized, batch_size: int):
        self.dataset, self.batch_size = dataset, batch_size
        self.chunk_size = len(dataset) // batch_size

    def __iter__(self) -> Iterator[list[int]]:
        for first in range(self.chunk_size):
            yield [first + row * self.chunk_size for row in range(self.batch_size)]

    def __len__(self) -> int:
        return self.chunk_size


class LightningLSTM(LightningModule):
    """Trains a :class:`SimpleLSTM`, carrying its state from batch to batch; pass it a loader."""

    def __init__(self, vocab_size: int = VOCABULARY):
        super().__init__()
        self.model = SimpleLSTM(vocab_size=vocab_size)
        self.hidden: tuple[Tensor, Tensor] | None = None

    def on_train_epoch_end(self) -> None:
        """The next epoch begins with the first text again."""
        self.hidden = None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The negative log-likelihood of the target, logged as ``train_loss``."""
        inputs, target = batch
        hidden = self.hidden or self.model.init_hidden(inputs.size(0))
        output, self.hidden = self.model(inputs, (hidden[0].detach(), hidden[1].detach()))
        loss = functional.nll_loss(output, target.reshape(-1))
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Optimizer:
        """SGD with the large steps that an LSTM likes."""
        return torch.optim.SGD(self.parameters(), lr=20.0)

"""Stage `pretrain`: masked-language modelling from scratch, as BERT's (Devlin et al., arXiv 1810.04805).

15% of the tokens are to be guessed: of these 80% are replaced by [MASK], 10% by any token, 10% left.

The output table. A bert's is tied to its token table, as BERT's. A bert_hash has one of its own, thrown away
with the head: tied to a table of `code_width` numbers a token, projected, the logits would be of no higher
rank than those few numbers, and a code would have to serve as a name and as a meaning.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from femtosearch.errors import RecipeError
from femtosearch.train.corpus import Corpus
from femtosearch.train.recipe import PretrainStage
from femtosearch.train.student import Student
from femtosearch.train.teacher import pad
from femtosearch.train.tokens import token_plan

KEPT, RANDOM = 0.1, 0.1  # of the tokens to be guessed


class Head(nn.Module):
    """BERT's: states [n, hidden] -> logits [n, V]."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        hidden, vocabulary = student.shape.hidden_size, student.bert.config.vocab_size
        self.dense = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=student.bert.config.norm_epsilon)
        self.decoder = nn.Linear(hidden, vocabulary)
        self.decoder.weight.data.normal_(std=0.02)
        self.decoder.bias.data.zero_()
        if not student.shape.code_width:
            self.decoder.weight = student.table

    def forward(self, states: Tensor) -> Tensor:
        return self.decoder(self.norm(F.gelu(self.dense(states))))


class Pretraining(nn.Module):
    """The student with a head for this stage alone."""

    def __init__(self, student: Student, corpus: Corpus, stage: PretrainStage, seed: int) -> None:
        super().__init__()
        if student.mask_id is None:
            raise RecipeError("[pretrain] needs a tokenizer with [MASK]")
        self.student, self.head = student, Head(student)
        self.texts, self.stage, self.seed = corpus.passages, stage, seed
        self.plan = token_plan([self.texts], stage.batch_tokens, stage.epochs, seed)
        self.words = len(student.tokenizer.get_vocab()) - len({student.query_id, student.document_id})

    @property
    def table(self) -> nn.Parameter:
        """The student's token table."""
        return self.student.table

    def losses(self, step: int) -> dict[str, Tensor]:
        """Cross-entropy of the masked tokens."""
        _, numbers = self.plan[step]
        device, positions = self.student.device, self.student.shape.positions
        ids, attended = pad([self.texts[n][:positions] for n in numbers])
        guessed, shown = self.masked(ids, attended, step)
        states = self.student.bert(shown.to(device), attended.to(device))
        logits = self.head(states[guessed.to(device)])
        return {"loss": F.cross_entropy(logits.float(), ids[guessed].to(device))}

    def masked(self, ids: Tensor, attended: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """(which tokens are to be guessed [N, T] bool, what the student is shown [N, T]): neither a text's
        first nor its last token, [CLS] and [SEP]; at least one.
        """
        rng = np.random.default_rng((self.seed, 11, step))
        free = attended.clone()
        free[:, 0] = False
        free[torch.arange(len(ids)), attended.sum(1) - 1] = False
        if not free.any():
            free = attended
        guessed = torch.from_numpy(rng.random(ids.shape) < self.stage.masked) & free
        if not guessed.any():
            guessed[tuple(free.nonzero()[0])] = True
        fate = torch.from_numpy(rng.random(ids.shape))
        other = torch.from_numpy(rng.integers(0, self.words, ids.shape))
        shown = torch.where(guessed & (fate >= KEPT), self.student.mask_id, ids)
        return guessed, torch.where(guessed & (fate >= 1 - RANDOM), other, shown)

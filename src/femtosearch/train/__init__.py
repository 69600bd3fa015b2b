"""Training of small late-interaction models: the extra `femtosearch[train]`, which brings torch.

    from femtosearch.train import read_recipe, train
    train(read_recipe("mine.toml"), Path("data"), Path("runs/mine"))  # and runs/mine/model is the model

A recipe's stages, in their order; each runs if the recipe has its table, and each can stand alone:
    pretrain  masked-language modelling of any text, from scratch
    tokens    the student learns each token's projected teacher vector (cosine)
    distil    the student learns a teacher's scores of hard candidates (KL divergence)
    contrast  the student learns from labelled pairs (InfoNCE)

What they stand on, from the ground up:
    recipe, checks, sources        the TOML file; what its stages need; folders, packages, the Hub
    corpus, exclusion, archive     texts, pairs and scores -> token ids, without the evaluation sets' texts
    device                         the CPU or a GPU
    cache, teacher                 a BERT's vectors of those texts, on disk, keyed by what they come from
    bert, student, maxsim          the student in torch, and its scores
    scores, mining                 teachers' scores; hard negatives
    loop, held_out, progress       steps, checkpoints and the log; nDCG of held-out pairs; the bar
    training, command              a whole run; its command line
"""

from femtosearch.errors import missing_extra

try:
    from femtosearch.train.command import train
    from femtosearch.train.recipe import Recipe, read_recipe
except ModuleNotFoundError as error:
    if error.name not in ("torch", "tokenizers"):
        raise
    raise missing_extra("training", error.name, "train") from error

__all__ = ["Recipe", "read_recipe", "train"]

"""Training of small late-interaction models on a CPU: the extra `femtosearch[train]`, which brings torch.

Stages, in the order in which a recipe runs them:
    corpus    texts and (query, passage) pairs -> token ids, with the evaluation sets' texts left out
    teacher   a BERT's token vectors of those texts, projected to their principal directions, cached on disk
    tokens    the student learns each token's projected teacher vector (cosine)
    distil    the student learns the teacher's MaxSim over hard candidates (KL divergence)
"""

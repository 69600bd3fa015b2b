"""A recipe's stages, in their order: what each needs is read or made when it is first asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from femtosearch.errors import RecipeError
from femtosearch.model.checkpoint import read_checkpoint
from femtosearch.train.archive import Archive
from femtosearch.train.cache import digest, disk_errors
from femtosearch.train.checks import check, check_extras
from femtosearch.train.contrast import SPARE, Contrast
from femtosearch.train.corpus import Corpus, Texts, check_pairs, read_corpus, tokenised
from femtosearch.train.distil import JudgedLists, ListDistiller, PoolDistiller, StoredLists
from femtosearch.train.draw import PoolDraw
from femtosearch.train.held_out import held_out_ndcg
from femtosearch.train.loop import Run
from femtosearch.train.mining import LabelMiner, Miner, NoMiner, StudentMiner, TeacherMiner, WordMiner
from femtosearch.train.pretrain import Pretraining
from femtosearch.train.project import Projecting
from femtosearch.train.recipe import STAGES, ContrastStage, Mined, Recipe, TeacherSource
from femtosearch.train.scores import CrossEncoderScores, PooledScores, PoolScores, TokenScores
from femtosearch.train.sources import locate
from femtosearch.train.student import (
    Pupil,
    Student,
    check_same_tokenizer,
    differing_part,
    from_checkpoint,
)
from femtosearch.train.teacher import Teacher, Vectors, checkpoint_digest
from femtosearch.train.tokens import TokenTargets, mean_vectors, token_loss, token_plan

PROJECTION_SAMPLE = 4000
BERTS = ("tokens", "pooled")  # the kinds of teacher that are a bert of ours
NEED_TEXTS = {"cross-encoder", "pooled"}  # the kinds that tokenise for themselves
SAY_EVERY = 20  # seconds between two lines of the log while a teacher reads


class Training:
    """One run of a recipe, from its data to its model folder."""

    def __init__(self, recipe: Recipe, data: Path, run: Run, device: torch.device) -> None:
        check(recipe)
        check_extras(recipe, data)
        self.recipe, self.data, self.run, self.device = recipe, data, run, device
        run.claim(recipe=digest(recipe.json()))
        self.teacher = self._bert(recipe.teacher)
        if self.teacher:
            run.claim(teacher=self.teacher.digest)
        self.token_teacher = self.teacher if recipe.teacher.kind == "tokens" else None
        self.student = self._student()
        self.corpus = self._read()
        self.student.to(device)
        self.pupil = Pupil(self.student, self.corpus)
        self._start_table()

    def stages(self) -> None:
        """Run every stage that the recipe has, and save the student after each."""
        for name in STAGES:
            if name in ("distil", "contrast"):
                self._pack_table()
            if getattr(self.recipe, name):
                getattr(self, name)()
                if name != "project":
                    self._save(name)
        self._save("model")

    def pretrain(self) -> None:
        """Masked-language modelling."""
        stage = self.recipe.pretrain
        model = Pretraining(self.student, self.corpus, stage, self.recipe.seed).to(self.student.device)
        self.run.train("pretrain", model, len(model.plan), stage, model.losses, self._evaluate)

    def project(self) -> None:
        """The teacher's directions that the student learns."""
        _ = self.directions

    def tokens(self) -> None:
        """Regression of the teacher's token vectors."""
        stage, targets = self.recipe.tokens, self.targets
        texts = [kind.texts for kind in targets]
        plan = token_plan(texts, stage.batch_tokens, stage.epochs, self.recipe.seed)
        self._train("tokens", len(plan), lambda step: token_loss(targets, plan, step))

    def distil(self) -> None:
        """KL divergence to a teacher's scores."""
        stage, seed, source = self.recipe.distil, self.recipe.seed, self.recipe.distil_teacher
        if source.kind == "scores":
            lists = StoredLists(self.corpus.scored, stage.batch, seed)
            steps = max(1, int(lists.per_epoch * stage.epochs))
            self._train("distil", steps, ListDistiller(self.pupil, stage, lists).losses)
            return
        if source.kind == "cross-encoder":
            judge = CrossEncoderScores(source.source, self.corpus.archive)
            judged = JudgedLists(self.corpus, stage, judge, seed)
            judged.miner = self._miner("distil", stage, judged.queries_of)
            distiller = ListDistiller(self.pupil, stage, judged)
        else:
            targets = self.targets if stage.token_weight else []
            distiller = PoolDistiller(self.pupil, stage, self._draw("distil"), self._pool_scores(), targets)
        self._train("distil", stage.steps, distiller.losses)

    def contrast(self) -> None:
        """InfoNCE on the labelled pairs."""
        stage = self.recipe.contrast
        contrast = Contrast(self.pupil, stage, self.recipe.seed)
        contrast.miner = self._miner("contrast", stage, contrast.queries_of)
        self._train("contrast", stage.steps, contrast.losses)

    def _train(self, name: str, steps: int, losses: Callable[[int], dict[str, torch.Tensor]]) -> None:
        rates = getattr(self.recipe, name)
        self.run.train(name, self.student, steps, rates, losses, self._evaluate)

    def _save(self, name: str) -> None:
        with disk_errors(self.run.folder / name):
            self.student.save(self.run.folder / name)

    def _evaluate(self) -> float | None:
        return held_out_ndcg(self.pupil, self.recipe.seed)

    # What the stages stand on.

    def _bert(self, source: TeacherSource) -> Teacher | None:
        if not source.source or source.kind not in BERTS:
            return None
        return Teacher(source.source, source.batch_tokens, self.device)

    def _student(self) -> Student:
        """Untrained, or what the start folder holds."""
        recipe = self.recipe
        if recipe.start:
            started = read_checkpoint(locate(recipe.start))
            self.run.claim(start=checkpoint_digest(started))
            student = from_checkpoint(started, recipe.model)
            width, groups = student.table_width, recipe.model.table_bytes
            if groups and width % groups:
                raise RecipeError(
                    f"model: table_bytes {groups} should divide {width}, the start folder's width"
                )
        elif recipe.model.tokenizer:
            student = Student(recipe.model, _tokenizer_in(recipe.model.tokenizer))
        else:
            student = Student(recipe.model, self.teacher.tokenizer(recipe.teacher.length))
        if self.token_teacher:
            stage = "tokens" if recipe.tokens else "distil"
            check_same_tokenizer(student, self.token_teacher.tokenizer(recipe.teacher.length), stage)
        return student

    def _tokenizer(self) -> Tokenizer:
        """The corpus's: the token teacher's if there is one, since ids have to be in the teacher's table."""
        if self.token_teacher:
            return self.token_teacher.tokenizer(self.recipe.teacher.length)
        tokenizer = Tokenizer.from_str(self.student.tokenizer.to_str())
        tokenizer.enable_truncation(self.student.conventions.document_length)
        tokenizer.no_padding()
        return tokenizer

    def _read(self) -> Corpus:
        recipe = self.recipe
        words = "bm25" in recipe.negatives
        kinds = {recipe.teacher.kind, recipe.distil_teacher.kind}
        archive = Archive(self.run.folder / "texts.sqlite") if words or kinds & NEED_TEXTS else None
        labels = "data" in recipe.negatives
        corpus = read_corpus(
            recipe.data, self.data, self._tokenizer(), recipe.seed, archive, negatives=labels
        )
        if labels and not any(corpus.negatives):
            raise RecipeError(f'{self.data}: negatives = "data", but no pair has "negatives"')
        if archive:
            archive.finish(words=words)
        drawn = recipe.project or (recipe.distil and recipe.distil_teacher.kind != "scores")
        if recipe.contrast or drawn:
            check_pairs(corpus, self.data)
        if not len(corpus.passages):
            raise RecipeError(f"{self.data}: the recipe's files gave no text")
        self.run.claim(data=corpus.digest)
        tokens = len(corpus.queries.ids) + len(corpus.passages.ids)
        self.run.log(stage="corpus", **corpus.report, tokens=tokens)
        return corpus

    def _start_table(self) -> None:
        """The token table of a student from scratch starts from the teacher's token vectors."""
        scratch = not (self.recipe.start or self.recipe.pretrain)
        if self.token_teacher and scratch and self.recipe.model.start_table:
            texts = (self.corpus.queries, self.corpus.passages)
            texts_and_vectors = list(zip(texts, self.vectors, strict=True))
            means = mean_vectors(texts_and_vectors, self._pieces_alone()) @ self.directions
            self.student.start_table(means.to(self.student.device))

    def _pack_table(self) -> None:
        """Product-quantise the token table, if the recipe says so; frequent pieces count more."""
        groups = self.recipe.model.table_bytes
        if groups and not self.student.is_packed:
            ids = (texts.ids for texts in (self.corpus.queries, self.corpus.passages))
            size = self.student.bert.config.vocab_size
            counts = sum(np.bincount(ids_of_texts, minlength=size) for ids_of_texts in ids)
            self.student.pack_table(groups, torch.from_numpy(np.sqrt(counts + 1.0)).float(), self.recipe.seed)

    @cached_property
    def projection(self) -> torch.Tensor:
        """[H, C]: the token teacher's principal directions."""
        source, path = self.recipe.teacher, self.run.cache / "projection.npy"
        return self.teacher.projection(
            self.corpus.passages, source.dims, PROJECTION_SAMPLE, self.recipe.seed, path
        )

    @cached_property
    def vectors(self) -> tuple[Vectors, Vectors]:
        """The recipe's teacher's, of the queries and of the passages."""
        return self._vectors(self.teacher, self.recipe.teacher, self.run.cache)

    @cached_property
    def directions(self) -> torch.Tensor:
        """[C, dims]: which directions of the cached vectors the student learns: the first ones, or those
        that stage `project` finds.
        """
        stage, dims = self.recipe.project, self.recipe.model.dims
        first = torch.eye(self.recipe.teacher.dims, dims)
        if not stage:
            return first
        targets = self._targets(first)
        scores = TokenScores(*targets, stage.pooled_weight)
        draw, seed = self._draw("project"), self.recipe.seed
        for name, start in (("all", torch.eye(len(first))), ("first", first)):
            ndcg = held_out_ndcg(Projecting(self.pupil, stage, draw, scores, start), seed)
            self.run.log(stage="project", directions=name, held_out_ndcg=ndcg)
        projecting = Projecting(self.pupil, stage, draw, scores, first)
        self.run.train(
            "project", projecting, stage.steps, stage, projecting.losses,
            lambda: held_out_ndcg(projecting, seed),
        )  # fmt: skip
        return projecting.directions.cpu()

    @cached_property
    def targets(self) -> list[TokenTargets]:
        """The queries and the passages, beside their token vectors."""
        return self._targets(self.directions)

    def _targets(self, directions: torch.Tensor) -> list[TokenTargets]:
        student, texts = self.student, (self.corpus.queries, self.corpus.passages)
        return [
            TokenTargets(student, text, vectors, directions, queries=queries)
            for text, vectors, queries in zip(texts, self.vectors, (True, False), strict=True)
        ]

    def _draw(self, name: str) -> PoolDraw:
        stage = getattr(self.recipe, name)
        draw = PoolDraw(self.corpus, stage, self.recipe.seed)
        draw.miner = self._miner(name, stage, draw.queries_of)
        return draw

    @cached_property
    def distil_vectors(self) -> tuple[Vectors, Vectors]:
        """The vectors of distil's own teacher, or of the recipe's."""
        source = self.recipe.distil and self.recipe.distil.teacher
        if not source or source.kind not in BERTS:
            return self.vectors
        teacher = self._bert(source)
        self.run.claim(distil_teacher=teacher.digest)
        return self._vectors(teacher, source, self.run.cache / "distil-teacher")

    def _vectors(self, teacher: Teacher, source: TeacherSource, folder: Path) -> tuple[Vectors, Vectors]:
        folder.mkdir(exist_ok=True)
        projection = self.projection if source.kind == "tokens" else None
        texts = (self.corpus.queries, self.corpus.passages)
        theirs = teacher.tokenizer(source.length)
        if not _cut_alike(self._tokenizer(), theirs):
            texts = tuple(
                tokenised(self.corpus.archive.all(kind), theirs) for kind in ("queries", "passages")
            )
        queries = teacher.cache(texts[0], projection, folder / "queries", self._said())
        return queries, teacher.cache(texts[1], projection, folder / "passages", self._said())

    def _said(self) -> Callable[[int, int], None]:
        last = [time.monotonic()]

        def progress(done: int, total: int) -> None:
            self.run.progress.update("teacher", done, total, unit="tokens")
            if time.monotonic() - last[0] > SAY_EVERY or done == total:
                last[0] = time.monotonic()
                self.run.log(stage="teacher", tokens=done, of=total)

        return progress

    def _pieces_alone(self) -> torch.Tensor:
        """The teacher's vector of each vocabulary piece between [CLS] and [SEP], projected, [V, C]."""
        size = self.teacher.checkpoint.config.vocab_size
        around = self.teacher.tokenizer(8).encode("").ids
        if len(around) != 2:
            raise RecipeError(
                "tokens: the teacher's tokenizer should put one token before a text and one after"
            )
        ids = np.stack([np.full(size, around[0]), np.arange(size), np.full(size, around[1])], 1)
        texts = Texts(ids.astype(np.uint32).ravel(), np.arange(0, 3 * size + 1, 3))
        projection = self.projection.to(self.teacher.device)
        alone = torch.empty(size, projection.shape[1])
        for numbers, vectors, _ in self.teacher.encode(texts):
            alone[torch.from_numpy(numbers)] = (vectors[1::3] @ projection).cpu()
        return alone

    def _pool_scores(self) -> PoolScores:
        if self.recipe.distil_teacher.kind == "pooled":
            return PooledScores(*self.distil_vectors, self.student.device)
        return TokenScores(*self.targets, self.recipe.distil.pooled_weight)

    def _miner(self, name: str, stage: Mined, queries_of: Callable[[int], np.ndarray]) -> Miner:
        path, seed = self.run.folder / f"{name}.negatives", self.recipe.seed
        if stage.negatives == "teacher":
            vectors = self.vectors if self.teacher else self.distil_vectors
            answered = np.unique(self.corpus.answers[self.corpus.trained])
            return TeacherMiner(answered, vectors[1].pooled, path)
        if stage.negatives == "model":
            count = stage.hard + SPARE if isinstance(stage, ContrastStage) else stage.near
            path = path.with_name(f"{path.name}.{self.run.key}")
            return StudentMiner(self.pupil, stage, queries_of, path, seed, count)
        if stage.negatives == "bm25":
            return WordMiner(self.corpus.archive)
        return LabelMiner(self.corpus.negatives) if stage.negatives == "data" else NoMiner()


def _cut_alike(ours: Tokenizer, theirs: Tokenizer) -> bool:
    """Whether both make the same ids of every text. A student's does not make its teacher's: it knows the
    prefixes, which may stand in a text too.
    """
    return (
        ours.get_added_tokens_decoder() == theirs.get_added_tokens_decoder()
        and ours.truncation["max_length"] == theirs.truncation["max_length"]
        and not differing_part(ours, theirs)
    )


def _tokenizer_in(source: str) -> Tokenizer:
    path = locate(source)
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise RecipeError(f"model: tokenizer: {path}: no such file; expected a folder with a tokenizer.json")
    return Tokenizer.from_file(str(path))

"""A checkpoint as an ONNX graph: token ids in, unit rows out. Needs the extra [onnx].

The graph is written node by node from the weights, so it needs the small `onnx` package and no torch. It has
only operators of opset 17, which ONNX Runtime and its builds for the browser run: BERT as in arXiv 1810.04805
(post-norm, exact GELU), the Dense modules, and rows of length one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from femtosearch.model.checkpoint import HASH_TABLE, WORD_TABLE, Checkpoint
from femtosearch.types import BertConfig

OPSET, IR_VERSION = 17, 8
MASKED = -1e30  # added to the score of a token that is not attended to
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "rows"


def graph(checkpoint: Checkpoint, version: str) -> onnx.ModelProto:
    """The model, one that the native engine can compute, as a graph.

    input_ids:       [texts, length] int64, at most `positions` long; shorter texts are padded with any id.
    attention_mask:  [texts, length] int64: 1 for a token that the others attend to, else 0.
    rows:            [texts, length, D] float32, unit rows of all tokens, of which the caller keeps some.
    """
    nodes = _Bert(cast(BertConfig, checkpoint.config), checkpoint.weights)
    rows = nodes.states()
    for weight, bias in checkpoint.dense:
        rows = nodes.projected(rows, weight, bias)
    nodes.unit(rows)
    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "length"]) for name in INPUTS]
    dims = checkpoint.dense[-1][0].shape[0] if checkpoint.dense else checkpoint.config.hidden_size
    out = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["texts", "length", dims])
    nodes_and_weights = helper.make_graph(nodes.nodes, "femtosearch", ids, [out], nodes.constants)
    model = helper.make_model(
        nodes_and_weights,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="femtosearch",
        producer_version=version,
    )
    onnx.checker.check_model(model)
    return model


class _Nodes:
    """Nodes and constants, as they are added; what a method returns is the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, dtype=np.float32))

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def projected(self, x: str, weight: np.ndarray, bias: np.ndarray | None) -> str:
        """x · weightᵀ + bias."""
        product = self.node("MatMul", x, self.constant(weight.T))
        return product if bias is None else self.node("Add", product, self.constant(bias))

    def gelu(self, x: str) -> str:
        """x · Φ(x), with the exact normal distribution function Φ."""
        erf = self.node("Erf", self.node("Mul", x, self.number(math.sqrt(0.5))))
        doubled = self.node("Mul", x, self.node("Add", erf, self.number(1)))
        return self.node("Mul", doubled, self.number(0.5))

    def unit(self, x: str) -> str:
        """Rows of length one; a row shorter than 1e-12 is divided by 1e-12."""
        length = self.node("ReduceL2", x, axes=[-1], keepdims=1)
        return self.node("Div", x, self.node("Max", length, self.number(1e-12)), out=OUTPUT)


class _Bert(_Nodes):
    """BERT, or bert_hash, of one checkpoint."""

    def __init__(self, config: BertConfig, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.config, self.weights = config, weights

    def states(self) -> str:
        """The last hidden states, [texts, length, hidden]."""
        penalty = self._penalty()
        states = self._embedded()
        for layer in range(self.config.layers):
            states = self._layer(f"encoder.layer.{layer}", states, penalty)
        return states

    def _embedded(self) -> str:
        ids = INPUTS[0]
        at = "embeddings.word_embeddings"
        if self.config.code_width is None:
            words = self.node("Gather", self.constant(self.weights[WORD_TABLE]), ids)
        else:
            codes = self.node("Gather", self.constant(self.weights[HASH_TABLE]), ids)
            words = self._linear(f"{at}.projections", codes)
        types = self.weights["embeddings.token_type_embeddings.weight"]
        places = self.constant(self.weights["embeddings.position_embeddings.weight"] + types[0])
        length = self.node("Shape", ids, start=1, end=2)
        used = self.node("Slice", places, self.whole(0), length, self.whole(0))
        return self._norm("embeddings.LayerNorm", self.node("Add", words, used))

    def _penalty(self) -> str:
        """[texts, 1, 1, length]: 0 where a token is attended to, else what leaves it no share."""
        attended = self.node("Cast", INPUTS[1], to=TensorProto.BOOL)
        attended = self.node("Unsqueeze", attended, self.whole(1, 2))
        return self.node("Where", attended, self.number(0), self.number(MASKED))

    def _layer(self, at: str, states: str, penalty: str) -> str:
        mixed = self._linear(f"{at}.attention.output.dense", self._attention(at, states, penalty))
        states = self._norm(f"{at}.attention.output.LayerNorm", self.node("Add", states, mixed))
        inner = self.gelu(self._linear(f"{at}.intermediate.dense", states))
        wide = self._linear(f"{at}.output.dense", inner)
        return self._norm(f"{at}.output.LayerNorm", self.node("Add", states, wide))

    def _attention(self, at: str, states: str, penalty: str) -> str:
        queries = self._heads(f"{at}.attention.self.query", states, [0, 2, 1, 3])
        keys = self._heads(f"{at}.attention.self.key", states, [0, 2, 3, 1])
        values = self._heads(f"{at}.attention.self.value", states, [0, 2, 1, 3])
        width = self.config.hidden_size // self.config.heads
        scores = self.node("Mul", self.node("MatMul", queries, keys), self.number(1 / math.sqrt(width)))
        shares = self.node("Softmax", self.node("Add", scores, penalty), axis=-1)
        context = self.node("Transpose", self.node("MatMul", shares, values), perm=[0, 2, 1, 3])
        return self.node("Reshape", context, self.whole(0, 0, self.config.hidden_size))

    def _heads(self, name: str, states: str, order: list[int]) -> str:
        split = self.whole(0, 0, self.config.heads, self.config.hidden_size // self.config.heads)
        return self.node("Transpose", self.node("Reshape", self._linear(name, states), split), perm=order)

    def _linear(self, name: str, x: str) -> str:
        return self.projected(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _norm(self, name: str, x: str) -> str:
        parts = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", x, *parts, axis=-1, epsilon=self.config.norm_epsilon)

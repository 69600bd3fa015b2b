"""The bodies of requests and answers, and their limits. The OpenAPI description is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from femtosearch.index.context import MOST_TOKENS
from femtosearch.index.request import CONTEXT_HITS

MOST_QUERIES, MOST_DOCUMENTS, MOST_INPUTS, MOST_IDS = 64, 10_000, 2048, 10_000
MOST_HITS = 1000
# At least one character that is no blank, as Python knows blanks.
Query = Annotated[str, StringConstraints(max_length=100_000, pattern=r"[^\s\x1c-\x1f]")]
Text = Annotated[str, StringConstraints(max_length=1_000_000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
IndexName = Annotated[
    str | None, Field(description="Which of the server's indexes; needed where it has several.")
]


class _Strict(BaseModel):
    """A body in which an unknown key is an error, as it is in Python."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Lenient(BaseModel):
    """A body in which unknown keys are ignored, because clients of several services send it. Optional keys
    may be null, because many clients send all keys.
    """

    model_config = ConfigDict(extra="ignore", strict=True)


Where = Annotated[
    dict[str, Any] | str | None,
    Field(
        description="Only documents whose metadata pass: a mapping of operators, or a filter in words.",
        examples=[{"year": {"$gte": 2020}}, "year >= 2020"],
    ),
]


class SearchBody(_Strict):
    """What to search for."""

    model_config = ConfigDict(
        json_schema_extra={
            "not": {  # one of the two picks the number of candidates
                "properties": {"candidates": {"type": "integer"}, "recall": {"type": "number"}},
                "required": ["candidates", "recall"],
            }
        }
    )

    query: Query | Annotated[list[Query], Field(max_length=MOST_QUERIES)] = Field(
        description="A query, or a list of them; the hits are then a list of lists."
    )
    k: int = Field(default=10, ge=1, le=MOST_HITS, description="How many hits.")
    mode: Literal["auto", "maxsim", "rerank", "fde"] = "auto"
    candidates: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Passages that `rerank` scores by MaxSim."
    )
    recall: float | None = Field(
        default=None, gt=0, le=1, description="As many candidates as find this share of the ten best."
    )
    hybrid: float | None = Field(
        default=None, ge=0, le=1, description="How much words count: 0 is MaxSim alone, 1 is BM25 alone."
    )
    length_penalty: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="The share that is taken off of what the best of many passages gains by chance.",
    )
    explain: bool = Field(default=False, description="Explain each hit: which token matched which.")
    spots: bool = Field(default=False, description="Give each hit the place of the token that matched best.")
    fold: bool = Field(default=False, description="Of documents with the same text give the best one alone.")
    where: Where = None
    min_score: float | None = Field(default=None, description="Hits of a lower score are left out.")
    per: Annotated[int, Field(ge=1)] | dict[str, Annotated[int, Field(ge=1)]] | None = Field(
        default=None, description="At most so many hits of one source, or of one value of a field."
    )
    text: Literal["document", "passage", "none"] = Field(
        default="document",
        description="What `text` of a hit holds: all of the document, its best passage, or nothing.",
    )
    partial: bool | None = Field(
        default=None,
        description="Of a cluster: whether shards may be missing (default: as it was started).",
    )
    index: IndexName = None


class TokenMatchBody(BaseModel):
    """A token of a query and the token of the document that is most like it."""

    token: str = Field(description="Empty for one of the model's own, such as [CLS].")
    match: str
    span: tuple[int, int] | None = Field(description="Where the match is in the text, in characters.")
    similarity: float
    weight: float = Field(description="How often it counts: MaxSim is the sum of weight times similarity.")


class ExplanationBody(BaseModel):
    """Why a hit is a hit."""

    tokens: list[TokenMatchBody]
    words: dict[str, float] = Field(description="What each word, or two side by side, gave to BM25.")
    ranks: dict[str, int] = Field(description="The rank at which exact search, FDE or words had it.")
    parts: dict[str, float] = Field(description="What the score is the sum of.")


class HitBody(BaseModel):
    """A document that was found."""

    id: str
    score: float | None = Field(description="null where the document has no word.")
    text: str
    metadata: dict[str, Any]
    passage: tuple[int, int] | None = Field(
        description="Start and end of the best passage in the document's text, in characters."
    )
    maxsim: float | None = Field(description="The best passage's MaxSim.")
    bm25: float | None = Field(description="BM25 of its words; null where words were not looked up.")
    source: str | None = Field(description="The file that it is of, as the document's metadata name it.")
    lines: tuple[int, int] | None = Field(
        description="First and last line of the passage in the file, from 1; or `page`, `cell` or `row`."
    )
    page: int | None
    cell: int | None
    row: int | None
    heading: list[str] = Field(description="The headings that the passage is under, the outermost first.")
    span: tuple[int, int] | None = Field(description="Where the token that matched best is in the text.")
    copies: list[str] = Field(description="The ids of documents with the same text that are left out.")
    explanation: ExplanationBody | None


class CoverageBody(BaseModel):
    """How much of a query the model knows."""

    tokens: int = Field(description="How many tokens the query has, without punctuation.")
    beyond: int = Field(description="How many of them are cut off.")
    unknown: list[str] = Field(description="The words of the query that the model does not know.")
    share: float = Field(description="The share of the tokens that is unknown.")
    pieces: int = Field(description="Into how many pieces the query is cut; 0: no word of it is known.")


class QuestionBody(_Strict):
    """A question for which context is requested."""

    question: Query
    max_tokens: int = Field(
        default=2000, ge=1, le=MOST_TOKENS, description="About so many of a language model's."
    )
    k: int = Field(default=CONTEXT_HITS, ge=1, le=MOST_HITS, description="How many documents are looked at.")
    where: Where = None
    index: IndexName = None


class CitationBody(BaseModel):
    """A passage of a context: text[start:end] of the document `id`."""

    number: int
    id: str
    place: str = Field(description="path:line, or the id.")
    start: int
    end: int
    text: str
    score: float | None = Field(description="The document's; null where it has no word.")


class ContextBody(BaseModel):
    """Passages for a prompt, none twice, each with its number and place."""

    text: str
    citations: list[CitationBody]
    tokens: int = Field(description="About how many of a language model's the text has.")
    coverage: CoverageBody | None = None


class MatchesBody(_Strict):
    """A query and a text whose tokens are compared."""

    query: Query
    text: Annotated[str, StringConstraints(max_length=100_000)]
    index: IndexName = None


class MatchedBody(BaseModel):
    """Tokens, and products[n][m] of the query's n-th with the text's m-th, times what the first counts."""

    query: list[str]
    passage: list[str]
    products: list[list[float]]


class HitsBody(BaseModel):
    """Hits, best first, and what of the query is known; of several queries a list for each."""

    hits: list[HitBody] | list[list[HitBody]]
    missing: list[str] | None = Field(default=None, description="Shards of a cluster that did not answer.")
    coverage: CoverageBody | list[CoverageBody | None] | None = None


class DocumentBody(BaseModel):
    """A document as it is stored."""

    id: str
    text: str
    metadata: dict[str, Any]


class NewDocument(BaseModel):
    """A document to store; every other key is metadata. Without an id one is made."""

    model_config = ConfigDict(extra="allow", strict=True)

    text: str
    id: Id | None = None


class AddBody(_Strict):
    """Documents to store, each in the place of one with the same id; all of them or none."""

    documents: Annotated[list[str | NewDocument], Field(max_length=MOST_DOCUMENTS)]
    exact: bool = Field(
        default=False,
        description="Documents are {id, text, metadata}, stored as they are: no title is put before a text.",
    )
    index: IndexName = None


class AddedBody(BaseModel):
    """The ids of documents that are stored, safe on the disk, in the order given."""

    ids: list[str]


class DeleteBody(_Strict):
    """Documents to take out: by ids, or all that pass a filter; with both, those of the ids that pass."""

    ids: Annotated[list[Id], Field(max_length=MOST_IDS)] | None = None
    where: Where = None
    index: IndexName = None


class DeletedBody(BaseModel):
    """How many documents were there and are out."""

    deleted: int


class UpdateBody(_Strict):
    """What to change in the metadata of documents; an unknown id is left out."""

    ids: Annotated[list[Id], Field(max_length=MOST_IDS)]
    metadata: dict[str, Any] = Field(description="The keys to set; others stay as they are.")
    replace: bool = Field(default=False, description="Put it in the place of all metadata.")
    index: IndexName = None


class UpdatedBody(BaseModel):
    """How many documents were changed."""

    updated: int


class FacetBody(BaseModel):
    """A value of a field, and how many documents have it."""

    value: str | int | float | bool | None
    count: int


class FacetsBody(BaseModel):
    """The values of a field, the commonest first."""

    facets: list[FacetBody]


class CountBody(BaseModel):
    """How many documents there are, or pass a filter."""

    count: int


class DocumentsBody(BaseModel):
    """Some documents. after: what to ask with for the next ones; null after the last."""

    documents: list[DocumentBody]
    after: int | None = None


class RerankDocument(_Lenient):
    """A document to rerank."""

    text: str


class RerankBody(_Lenient):
    """What to rerank, as clients of Cohere and Jina send it."""

    query: Query
    documents: Annotated[list[str | RerankDocument], Field(max_length=MOST_DOCUMENTS)]
    top_n: int | None = Field(
        default=None, ge=1, description="How many to give back; all of them if it is missing."
    )
    return_documents: bool | None = Field(default=False, description="Give the texts back, too.")
    model: str | None = Field(default=None, description="Any name: the server has one model, and says which.")


class RerankedBody(BaseModel):
    """One document's place. `relevance_score` is the mean over the query's rows: 1 is a match of all."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RanksBody(BaseModel):
    """Documents in the order of their scores."""

    id: str
    model: str
    results: list[RerankedBody]
    usage: dict[str, int]


class EmbeddingsBody(_Lenient):
    """Texts to encode, as clients of OpenAI send them."""

    input: Text | Annotated[list[Text], Field(max_length=MOST_INPUTS)]
    model: str | None = Field(default=None, description="Any name: the server has one model, and says which.")
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(
        default=None, ge=1, description="At most so many numbers: the first ones of the FDE."
    )
    input_type: Literal["document", "query", "search_document", "search_query"] | None = Field(
        default="document",
        description="FDEs of queries and of documents differ; their inner product is the score.",
    )
    rows: bool | None = Field(default=False, description="Give every token's vector in `rows`, too.")


class EmbeddingBody(BaseModel):
    """One text's FDE, or base64 of it as little-endian float32. Compare by inner product."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    rows: list[list[float]] | None = None


class EmbeddedBody(BaseModel):
    """The FDEs of texts, in the order given."""

    object: Literal["list"] = "list"
    model: str
    data: list[EmbeddingBody]
    usage: dict[str, int]


class ErrorBody(BaseModel):
    """What went wrong: a word for programs, a sentence for people, the request's id in the server's log."""

    type: str
    message: str
    request_id: str


class ProblemBody(BaseModel):
    """An answer that is an error."""

    error: ErrorBody
